using InferenceServer.Engine.Manifest;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Execution;

/// <summary>Cosines and sines of rotary positions, computed by the graph's own nodes: whatever scaling a model has is in them.</summary>
internal static class RotaryTables
{
    /// <summary>The first half of each table <c>[position, head / 2]</c> by the tensor it is of; null where a table is no such thing.</summary>
    /// <exception cref="OnnxRuntimeException">The nodes do not run by themselves.</exception>
    public static IReadOnlyDictionary<string, float[]>? Compute(GraphRewrite rewrite, string file, ExecutionDevice device)
    {
        var tables = new Dictionary<string, float[]>(StringComparer.Ordinal);
        if (rewrite.Tables.Count == 0)
        {
            return tables;
        }

        var root = FolderFiles.WeightsRoot(Path.GetDirectoryName(file)!);
        using var options = device.CreateSessionOptions(1, optimize: true);
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", root);
        using var session = new InferenceSession(rewrite.TableModel(root), options);
        var inputs = session.InputMetadata.ToDictionary(input => input.Key, input => Input(input.Key, input.Value, rewrite.Positions), StringComparer.Ordinal);
        try
        {
            using var run = new RunOptions();
            using var outputs = session.Run(run, inputs, [.. rewrite.Tables]);
            for (var i = 0; i < outputs.Count; i++)
            {
                if (HalfOf(outputs[i], rewrite.Positions) is not { } half)
                {
                    return null;
                }

                tables[rewrite.Tables[i]] = half;
            }

            return tables;
        }
        finally
        {
            foreach (var input in inputs.Values)
            {
                input.Dispose();
            }
        }
    }

    // A text of as many tokens as there are positions, without a past.
    private static OrtValue Input(string name, NodeMetadata input, int positions)
    {
        var role = InputBinding.RoleOf(name);
        if (role == InputRole.Past)
        {
            return OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, input.ElementDataType, [1, Math.Max(1, input.Dimensions[1]), 0, Math.Max(1, input.Dimensions[3])]);
        }

        long[] values = new long[positions];
        for (var i = 0; i < positions; i++)
        {
            values[i] = role switch { InputRole.PositionIds or InputRole.CachePosition => i, InputRole.AttentionMask => 1, _ => 0 };
        }

        long[] shape = input.Dimensions.Length == 1 ? [positions] : [1, positions];

        return input.ElementDataType == TensorElementType.Int32
            ? OrtValue.CreateTensorValueFromMemory(Array.ConvertAll(values, value => (int)value), shape)
            : OrtValue.CreateTensorValueFromMemory(values, shape);
    }

    // Both halves of a head are turned alike.
    private static float[]? HalfOf(OrtValue table, int positions)
    {
        var info = table.GetTensorTypeAndShape();
        var size = (int)info.Shape[^1];
        if (info.ElementDataType != TensorElementType.Float || info.ElementCount != (long)positions * size || size % 2 != 0)
        {
            return null;
        }

        var data = table.GetTensorDataAsSpan<float>();
        var half = new float[positions * (size / 2)];
        for (var position = 0; position < positions; position++)
        {
            var row = data.Slice(position * size, size);
            if (!row[..(size / 2)].SequenceEqual(row[(size / 2)..]))
            {
                return null;
            }

            row[..(size / 2)].CopyTo(half.AsSpan(position * (size / 2)));
        }

        return half;
    }
}
