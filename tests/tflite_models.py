"""Small TFLite files, built through the schema's object API."""

from __future__ import annotations

import numpy as np

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "string": 5, "bool": 6, "int8": 9}


class ModelBuilder:
    """One subgraph; tensors and operators are added in order, ``build()`` gives the file."""

    def __init__(self):
        from aligner.adapters.tflite_adapter.schema import schema

        self.schema = schema()
        self.model = self.schema.ModelT(version=3, operatorCodes=[], subgraphs=[], buffers=[self.schema.BufferT()])
        self.graph = self.schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[], name="main")
        self.model.subgraphs.append(self.graph)

    def tensor(self, name, shape, dtype="float32", *, content=None, signature=None, quantized=None, variable=False):
        tensor = self.schema.TensorT(shape=list(shape), type=TYPES[dtype], name=name, isVariable=variable)
        tensor.hasRank = True
        if signature is not None:
            tensor.shapeSignature = list(signature)
        if quantized is not None:
            scale, zero_point, axis = quantized
            tensor.quantization = self.schema.QuantizationParametersT(
                scale=list(np.atleast_1d(scale)), zeroPoint=list(np.atleast_1d(zero_point)), quantizedDimension=axis
            )
        if content is not None:
            self.model.buffers.append(self.schema.BufferT(data=np.frombuffer(content.tobytes(), np.uint8)))
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name, array, **more):
        return self.tensor(name, array.shape, str(array.dtype), content=array, **more)

    def input(self, name, shape, dtype="float32", **more):
        index = self.tensor(name, shape, dtype, **more)
        self.graph.inputs.append(index)
        return index

    def op(self, word, inputs, outputs, options=None, *, custom=None):
        schema = self.schema
        code = getattr(schema.BuiltinOperator, word)
        entry = schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1)
        entry.customCode = custom
        self.model.operatorCodes.append(entry)
        operator = schema.OperatorT(len(self.model.operatorCodes) - 1, inputs=list(inputs), outputs=list(outputs))
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.graph.operators.append(operator)
        return outputs[0] if outputs else None

    def build(self, *outputs, signatures=()):
        import flatbuffers

        self.graph.outputs = list(outputs)
        self.model.signatureDefs = list(signatures) or None
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def residual_network(*, open_batch=False, weight_type="float32"):
    """Convolution SAME with stride 2, relu, 1×1 convolution, the sum of both, mean over the picture."""
    rng = np.random.default_rng(7)
    builder = ModelBuilder()
    schema = builder.schema

    def signed(shape):
        return (-1, *shape[1:]) if open_batch else None

    def weight(name, array):
        if weight_type == "float32":
            return builder.constant(name, array)
        stored = builder.constant(f"{name}_half", array.astype(np.float16))
        return builder.op("DEQUANTIZE", [stored], [builder.tensor(name, array.shape)], schema.DequantizeOptionsT())

    wide, small = (1, 6, 5, 2), (1, 3, 3, 4)
    x = builder.input("x", wide, signature=signed(wide))
    kernel = weight("kernel", rng.normal(size=(4, 3, 3, 2)).astype(np.float32))
    bias = weight("bias", rng.normal(size=4).astype(np.float32))
    point = weight("point", rng.normal(size=(4, 1, 1, 4)).astype(np.float32))
    none = builder.constant("no_bias", np.zeros(4, np.float32))
    same = {"padding": schema.Padding.SAME, "dilationWFactor": 1, "dilationHFactor": 1}
    conv = schema.Conv2DOptionsT(strideW=2, strideH=2, **same)
    a = builder.op("CONV_2D", [x, kernel, bias], [builder.tensor("conv", small, signature=signed(small))], conv)
    b = builder.op("RELU", [a], [builder.tensor("relu", small, signature=signed(small))])
    pointwise = schema.Conv2DOptionsT(strideW=1, strideH=1, fusedActivationFunction=3, **same)
    c = builder.op(
        "CONV_2D", [b, point, none], [builder.tensor("point_out", small, signature=signed(small))], pointwise
    )
    d = builder.op("ADD", [b, c], [builder.tensor("sum", small, signature=signed(small))], schema.AddOptionsT())
    axes = builder.constant("axes", np.array([1, 2], np.int32))
    mean = schema.ReducerOptionsT(keepDims=False)
    e = builder.op("MEAN", [d, axes], [builder.tensor("mean", (1, 4), signature=signed((1, 4)))], mean)
    return builder.build(d, e)


def custom_network(name):
    """One custom operator that no interpreter knows."""
    builder = ModelBuilder()
    x = builder.input("x", (1, 4))
    builder.op("CUSTOM", [x], [builder.tensor("y", (1, 4))], custom=name)
    return builder.build(1)


def quantised_network():
    """uint8 picture → per-channel int8 depthwise convolution → float."""
    rng = np.random.default_rng(3)
    builder = ModelBuilder()
    schema = builder.schema
    x = builder.input("x", (1, 4, 4, 3), "int8", quantized=(0.5, -3, 0))
    kernel = builder.constant(
        "kernel",
        rng.integers(-100, 100, (1, 3, 3, 3)).astype(np.int8),
        quantized=(np.array([0.1, 0.2, 0.3]), np.zeros(3, np.int64), 3),
    )
    bias = builder.constant(
        "bias", np.array([5, -6, 7], np.int32), quantized=(np.array([0.05, 0.1, 0.15]), np.zeros(3, np.int64), 0)
    )
    y = builder.tensor("y", (1, 4, 4, 3), "int8", quantized=(8.0, 4, 0))
    options = schema.DepthwiseConv2DOptionsT(
        padding=schema.Padding.SAME, strideW=1, strideH=1, depthMultiplier=1, dilationWFactor=1, dilationHFactor=1
    )
    builder.op("DEPTHWISE_CONV_2D", [x, kernel, bias], [y], options)
    z = builder.tensor("z", (1, 4, 4, 3))
    builder.op("DEQUANTIZE", [y], [z], schema.DequantizeOptionsT())
    return builder.build(z)


def namesakes():
    """Two tensors called "same", one without a name, one called like an id that another would get."""
    builder = ModelBuilder()
    schema = builder.schema
    x = builder.input("same", (2, 3))
    a = builder.op("ABS", [x], [builder.tensor("same", (2, 3))], schema.AbsOptionsT())
    b = builder.op("NEG", [a], [builder.tensor("", (2, 3))], schema.NegOptionsT())
    c = builder.op("EXP", [b], [builder.tensor("same#1", (2, 3))], schema.ExpOptionsT())
    return builder.build(c)
