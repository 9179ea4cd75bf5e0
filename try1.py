"""quick check of all CASES and ZOO with the new differentiate"""
import sys, copy, warnings
import numpy as np, onnx, onnx_ir as ir, onnxruntime as ort
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.save_batch_statistics import SaveBatchStatistics
from tests.support import gradient_check as gc
from tests.passes.importing import test_differentiable as td
from tests.support.zoo import ZOO
def by_rules(model, feeds):
    m=model.clone()
    out=m.graph.outputs[0]
    d=ir.Value(name="direction",shape=out.shape,type=out.type); m.graph.inputs.append(d)
    from sparcl_compile.passes.core.insert import Inserter
    ins=Inserter("t",m.graph)
    w=ins.op("Mul",out,d,name="weighed",like=out); loss=ins.op("ReduceSum",w,name="loss",shape=[],keepdims=0)
    m.graph.outputs.insert(0,loss)
    for v in m.graph.initializers.values():
        if v.shape is None: v.shape=ir.Shape(v.const_value.shape); v.type=ir.TensorType(v.const_value.dtype)
    data={n:v.const_value.numpy() for n,v in m.graph.initializers.items() if v.const_value is not None}
    SaveBatchStatistics().call(m)
    Differentiate().call(m)
    p=ir.to_proto(m)
    onnx.checker.check_model(p,full_check=True)
    s=ort.InferenceSession(p.SerializeToString())
    known={**data,**feeds,"lazy_reset_grad":np.array([True])}
    ins={i.name: known[i.name] if i.name in known else np.zeros(i.shape,np.float32) for i in s.get_inputs()}
    params=[str(v.name) for v in values_with_role(m,Role.PARAMETER)]
    return dict(zip(params,s.run([f"{n}_grad.accumulation.buffer.next" for n in params],ins)))
def worst(model):
    random=np.random.default_rng(0)
    x_shape,out_shape=([int(d) for d in list(v.shape)[1:]] for v in (model.graph.inputs[0],model.graph.outputs[0]))
    feeds={"x":random.normal(size=(3,*x_shape)).astype(np.float32),"direction":random.normal(size=(3,*out_shape)).astype(np.float32)}
    got=by_rules(model,feeds)
    params=list(got)
    proto=gc.with_loss(model)
    ev,base=gc.in_float64(proto,params); base.update({n:v.astype(np.float64) for n,v in feeds.items()})
    whole=float(np.sqrt(sum((g**2).sum() for g in got.values())))
    return max((gc.error(ev,base,n,got[n],whole,random),n) for n in params)
bad=0
only=sys.argv[1:]
def run(name,make):
    global bad
    try:
        w,p=worst(make())
        if not w<1e-3: print("BAD",name,w,p); bad+=1
    except Exception as e:
        print("ERR",name,type(e).__name__,str(e)[:300]); bad+=1
        if only: raise
for n,c in td.CASES.items():
    if not only or n in only: run(n,lambda: td.case_model(c))
for n,c in td.REWRITTEN.items():
    if not only or n in only: run("R:"+n,lambda: gc.imported(td.rewritten_model(*c)))
for n in ZOO:
    if not only or n in only: run("Z:"+n,lambda: gc.imported(ZOO[n]()))
print("bad",bad)
