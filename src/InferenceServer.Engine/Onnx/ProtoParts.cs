namespace InferenceServer.Engine.Onnx.Proto;

/// <summary>Attributes of a node that is added to a graph.</summary>
internal sealed partial class AttributeProto
{
    /// <summary>An integer.</summary>
    public static AttributeProto Of(string name, long value) => new() { Name = name, I = value, Type = Types.AttributeType.Int };

    /// <summary>A float.</summary>
    public static AttributeProto Of(string name, float value) => new() { Name = name, F = value, Type = Types.AttributeType.Float };

    /// <summary>Integers.</summary>
    public static AttributeProto Of(string name, IEnumerable<long> values) => new() { Name = name, Ints = { values }, Type = Types.AttributeType.Ints };
}

/// <summary>Constants that are added to a graph.</summary>
internal sealed partial class TensorProto
{
    /// <summary>Integers along one axis.</summary>
    public static TensorProto Of(string name, params long[] values) => new() { Name = name, DataType = Types.DataType.Int64, Dims = { values.Length }, Int64Data = { values } };
}
