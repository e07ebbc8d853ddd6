"""What the network is trained on and examined with: photographs, pairs of Shu et al., and pictures made worse."""
