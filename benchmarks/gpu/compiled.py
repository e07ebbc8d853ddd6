"""The kernel for GPUs as Triton compiles it, run on the CPU: its LLVM assembly, lane by lane.

The interpreter runs the kernel's Python; what the compiler makes of it may be something else, and once was: a loop
carried two variables as one. Here a warp has one lane, which hears itself where it would hear others.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.kernels import triton_fit
from msfit.solve.kernels.numba_polynomials import TERMS
from msfit.solve.problem import NON_NEGATIVE
from msfit.solve.tolerances import PLATEAU, TOLERANCE

# What an H100 has of its own, in LLVM's terms.
_INSTRUCTIONS = """
define i32 @own_tid.x() { ret i32 0 }
define i32 @own_ctaid.x() { ret i32 0 }
define i32 @own_redux.sync.max(i32 %a, i32 %lanes) { ret i32 %a }
define i32 @own_shfl.sync.bfly.i32(i32 %lanes, i32 %a, i32 %b, i32 %c) { ret i32 %a }
define i32 @own_reflect(ptr %name) { ret i32 0 }
define float @own_div.full(float %a, float %b) { %c = fdiv float %a, %b
 ret float %c }
declare float @llvm.exp2.f32(float)
define float @own_ex2.approx.f32(float %a) { %c = call float @llvm.exp2.f32(float %a)
 ret float %c }
declare float @llvm.sqrt.f32(float)
define i32 @load_if(ptr addrspace(1) %at, i1 %here) {
 br i1 %here, label %yes, label %no
yes:
 %value = load i32, ptr addrspace(1) %at, align 4
 ret i32 %value
no:
 ret i32 0 }
define void @store_if(i32 %value, ptr addrspace(1) %at, i1 %here) {
 br i1 %here, label %yes, label %no
yes:
 store i32 %value, ptr addrspace(1) %at, align 4
 ret void
no:
 ret void }
"""
_ROOTS = ("sqrt.rn.ftz.f", "sqrt.approx.ftz.f", "sqrt.rn.f", "sqrt.approx.f")
_ASSEMBLY = (
    (r'tail call i32 asm sideeffect "mov.u32 \$0, 0x0;.*"\((ptr .*)\)$', r"load i32, \1, align 4"),
    (r'tail call i32 asm sideeffect "mov.u32 \$0, \$1;.*"\(i32 0, (ptr .*), (i1 .*)\)$', r"call i32 @load_if(\1, \2)"),
    (r'tail call void asm sideeffect "@\$2 st.*"\((i32 .*), (ptr .*), (i1 .*)\)$', r"call void @store_if(\1, \2, \3)"),
    (r"@llvm\.nvvm\.(read\.ptx\.sreg\.)?", "@own_"),
    (r"@__nvvm_reflect", "@own_reflect"),
    (r"define ptx_kernel void", "define void"),
    (r",? ![\w.]+ !\d+| #\d+\b| nocreateundeforpoison", ""),
)


def compiled(solver: GpuSolver) -> Callable[[Tensor, triton_fit.Round], Tensor]:
    """From pixels (n, channel), without weights, and a round to solutions (RESULTS, n), by the compiled kernel."""
    grid, fit = solver.plain, triton_fit._fit
    constants: dict[str, float] = dict.fromkeys(("WEIGHTED", "BOUNDED", "PRIOR", "MIXED"), False)
    constants |= {"BLOCK": triton_fit._BLOCK, "WIDE": 1, "COLUMNS": grid.columns, "TERMS": TERMS, "PLATEAU": PLATEAU}
    numbers = ("number", "count", "widest", "rows", "columns", "most_steps", "own", "single", "last")
    reals = ("thickness", "low_d", "high_d", "low_s", "high_s", "low_0", "low_1", "high_0", "high_1")
    kinds = dict.fromkeys(numbers, "i32") | dict.fromkeys((*reals, "tolerance", "tiny", "eps"), "fp32")
    kinds |= {"first": "*i32", "length": "*i32"} | dict.fromkeys(constants, "constexpr")
    signature = {name: kinds.get(name, "*fp32") for name in fit.arg_names}
    source = ASTSource(fn=fit, signature=signature, constexprs=constants)
    kernel = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 1})
    engine = _on_cpu(kernel.asm["llir"])
    taken: dict[str, Any] = {"i32": ctypes.c_int32, "fp32": ctypes.c_float}
    kinds_of: list[Any] = [
        taken.get(signature[name], ctypes.c_void_p) for name in fit.arg_names if name not in constants
    ]
    # behind its arguments a kernel takes two pointers to scratch memory
    function = ctypes.CFUNCTYPE(None, *kinds_of, *(ctypes.c_void_p,) * 2)(engine.get_function_address("_fit"))
    tables = (grid.basis, grid.directions, grid.ratios, grid.spectra, grid.expansions, grid.limits, grid.fractions)

    def run(pixels: Tensor, this: triton_fit.Round) -> Tensor:
        results = torch.zeros(triton_fit.RESULTS, len(pixels))
        for number, pixel in enumerate(pixels.contiguous()):
            own = torch.zeros(triton_fit.RESULTS)
            given: list[Any] = [pixel, pixel, solver.spectra, pixel, pixel, pixel, *tables, own, 1, len(pixel), 1]
            given += [*grid.shape, float(solver.form.thickness), *(end for bounds in NON_NEGATIVE for end in bounds)]
            given += [*grid.lower, *grid.upper, TOLERANCE["float32"], this.steps, triton_fit._TINY, triton_fit._EPS]
            given += [pixel, pixel, 0, int(this.single), int(this.last), None, None]
            function(*(one.data_ptr() if isinstance(one, Tensor) else one for one in given))
            results[:, number] = own
        return results

    run.engine = engine  # type: ignore[attr-defined]  # which owns the machine code
    return run


def _on_cpu(assembly: str) -> Any:
    lines = [line for line in assembly.split("\n") if not line.startswith(("target ", "attributes #", "!", "source_"))]
    kept = []
    for line in lines:
        for pattern, instead in reversed(_ASSEMBLY):
            line = re.sub(pattern, instead, line)
        if not re.match(r"declare .*@own_", line):
            kept.append(line)
    text = "\n".join(kept)
    # numbers as older assemblers read them: bits of doubles
    text = re.sub(r"\bf0x([0-9A-Fa-f]{8})\b", lambda m: _bits(struct.unpack(">f", bytes.fromhex(m[1]))[0]), text)
    text = re.sub(r"-?\b\d+\.\d+e[+-]\d+", lambda m: _bits(float(np.float32(m[0]))), text)
    text = re.sub(r"(?<=[ (,])([+-])inf\b", lambda m: _bits(float(m[1] + "inf")), text) + _INSTRUCTIONS
    for root in _ROOTS:
        text += f"define float @own_{root}(float %a) {{ %c = call float @llvm.sqrt.f32(float %a)\n ret float %c }}\n"
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def _bits(value: float) -> str:
    return "0x" + struct.pack(">d", value).hex().upper()
