using System.Buffers;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace InferenceServer.Engine.Sessions;

/// <summary>
/// A loaded graph: one copy of the weights, run from several lanes at once. Sequences go in, the outputs that were asked
/// for come out as views of the native buffers.
/// </summary>
/// <remarks>
/// A run: (1) every input is filled by its role in pooled buffers, rows padded at the right with the pad id and mask 0;
/// (2) the graph runs with plain <c>Run</c> on the calling thread; (3) <see cref="GraphOutputs"/> shows the outputs row by row.
/// </remarks>
internal sealed class GraphSession : IGraphRunner
{
    private const int AssumedHeads = 16; // where neither graph nor config.json says how many there are

    private const int LongRun = 1024; // padded tokens: a batch by the default budget keeps its memory for the next

    private readonly InferenceSession session;
    private readonly IReadOnlyList<InputBinding> inputs;
    private readonly string[] inputNames;
    private readonly Dictionary<string, int[]> outputs;
    private readonly int? fixedBatch;
    private readonly int heads;

    private GraphSession(InferenceSession session, IReadOnlyList<InputBinding> inputs, GraphSummary summary, ModelConfig? config)
    {
        heads = config?.Heads ?? AssumedHeads;
        this.session = session;
        this.inputs = inputs;
        inputNames = [.. inputs.Select(i => i.Name)];
        outputs = session.OutputMetadata.ToDictionary(o => o.Key, o => o.Value.IsTensor ? o.Value.Dimensions : []);

        var ids = inputs.First(i => i.Role == InputRole.InputIds);
        fixedBatch = ids.Shape is [> 0, ..] ? ids.Shape[0] : null;
        int? fixedLength = ids.Shape is [_, > 0] ? ids.Shape[1] : null;
        var masked = inputs.Any(i => i.Role is InputRole.AttentionMask or InputRole.LastPosition);
        Rules = new BatchRules(summary.QuantizesActivations ? 1 : fixedBatch ?? int.MaxValue, EqualLengthsOnly: !masked, fixedLength);
        HasMask = masked;
    }

    /// <summary>What a batch may be, by what the graph declares.</summary>
    public BatchRules Rules { get; private set; }

    /// <summary>The id that stands on padded positions; set before the first batch.</summary>
    public int PadId { get; set; }

    /// <summary>True when the graph is told which positions are padding.</summary>
    public bool HasMask { get; }

    /// <summary>The float outputs that a batch may be compared by (caches excluded).</summary>
    public IReadOnlyList<string> ComparableOutputs => [.. session.OutputMetadata
        .Where(o => !o.Key.StartsWith("present", StringComparison.Ordinal) && o.Value.IsTensor
            && o.Value.ElementDataType is TensorElementType.Float or TensorElementType.Float16 or TensorElementType.BFloat16)
        .Select(o => o.Key)];

    /// <summary>
    /// Loads a graph: <paramref name="model"/> where its bytes were edited (external data is still found beside the file), else the file.
    /// </summary>
    /// <exception cref="ModelLoadException">The file is damaged, or its inputs cannot be fed.</exception>
    public static GraphSession Load(GraphSummary summary, byte[]? model, ModelConfig? config, ExecutionDevice device)
    {
        var file = Path.GetFileName(summary.File);
        InferenceSession session;
        try
        {
            using var options = device.CreateSessionOptions(device.Threads);
            if (model is null)
            {
                session = new InferenceSession(summary.File, options);
            }
            else
            {
                options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", Path.GetDirectoryName(summary.File)!);
                session = new InferenceSession(model, options);
            }
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelLoadException($"{file}: ONNX Runtime cannot load the graph: {NativeMessage.Short(e)}. Download or export the file again.", e);
        }

        try
        {
            return new GraphSession(session, InputBinding.BindAll(file, session.InputMetadata, config), summary, config);
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>From now on every sequence runs alone; called before the first batch.</summary>
    public void RunAlone() => Rules = Rules with { MaxSequences = 1 };

    /// <summary>What ONNX Runtime said about a failed run, for the person who looks after the model.</summary>
    public string Explain(InferenceException failure) => failure.InnerException is { } inner ? NativeMessage.Short(inner) : failure.Message.TrimEnd('.');

    /// <inheritdoc/>
    public bool HasOutput(string name) => outputs.ContainsKey(name);

    /// <inheritdoc/>
    public long OutputBytes(string name, int rows, int length)
    {
        if (!outputs.TryGetValue(name, out var shape))
        {
            return 0;
        }

        if (shape.Length == 0)
        {
            return AttentionBytes(rows, length); // no shape at all: as if it were attention
        }

        var elements = 1L;
        for (var axis = 0; axis < shape.Length; axis++)
        {
            // Of four axes the second is the heads: attention [batch, heads, S, S].
            elements *= shape[axis] >= 0 ? shape[axis] : axis == 0 ? rows : axis == 1 && shape.Length == 4 ? heads : length;
        }

        return elements * sizeof(float);
    }

    /// <summary>Bytes of one layer's attention <c>[rows, heads, length, length]</c>.</summary>
    public long AttentionBytes(int rows, int length) => (long)rows * heads * length * length * sizeof(float);

    /// <inheritdoc/>
    public IBatchOutputs Run(IReadOnlyList<SequenceRow> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate)
    {
        var length = rows.Max(r => r.InputIds.Length);
        if (Rules.FixedLength is { } fixedLength)
        {
            if (length > fixedLength || (length < fixedLength && !HasMask))
            {
                throw InferenceException.Unprocessable(Argument.Of("Inputs"), $"The model takes exactly {fixedLength} tokens, and the input has {length}. Make it that long.");
            }

            length = fixedLength;
        }

        var batch = new Batch(rows, fixedBatch ?? rows.Count, length, PadId);
        using var options = new RunOptions();
        if ((long)batch.Rows * length > LongRun)
        {
            options.AddRunConfigEntry("memory.enable_memory_arena_shrinkage", "cpu:0"); // else one long text's memory is kept for ever
        }

        var tensors = new List<OrtValue>(inputs.Count);
        var buffers = new Buffers();
        try
        {
            foreach (var input in inputs)
            {
                tensors.Add(Tensor(input, batch, buffers));
            }

            IDisposableReadOnlyCollection<OrtValue> values;
            using (terminate.Register(static o => ((RunOptions)o!).Terminate = true, options))
            {
                values = session.Run(options, inputNames, tensors, outputs);
            }

            return new GraphOutputs(outputs, values, batch.Rows);
        }
        catch (OnnxRuntimeException e)
        {
            terminate.ThrowIfCancellationRequested();
            throw NativeMessage.ToInference(e);
        }
        finally
        {
            foreach (var tensor in tensors)
            {
                tensor.Dispose();
            }

            buffers.Return();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => session.Dispose();

    private static OrtValue Tensor(InputBinding input, Batch batch, Buffers buffers)
    {
        if (input.Role == InputRole.Past)
        {
            var shape = Array.ConvertAll(input.Shape, d => d < 0 ? (long)batch.Count : d);
            return OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, input.Type, shape);
        }

        return input.Type switch
        {
            TensorElementType.Int64 => Filled<long>(input, batch, buffers, static v => v),
            TensorElementType.Int32 => Filled<int>(input, batch, buffers, static v => v),
            TensorElementType.Float => Filled<float>(input, batch, buffers, static v => v),
            _ => Filled<bool>(input, batch, buffers, static v => v != 0),
        };
    }

    private static OrtValue Filled<T>(InputBinding input, Batch batch, Buffers buffers, Func<int, T> convert)
        where T : unmanaged
    {
        var (rows, length) = (batch.Count, batch.Length);
        long[] shape = input.Role switch
        {
            InputRole.CachePosition => [length],
            InputRole.LastPosition => [rows],
            InputRole.UseCacheBranch or InputRole.TotalLength or InputRole.Zero => input.Shape.Length == 0 && input.Role != InputRole.UseCacheBranch ? [] : [1],
            _ => [rows, length],
        };
        var count = (int)shape.Aggregate(1L, (a, b) => a * b);
        var memory = buffers.Rent<T>(count);
        var data = memory.Span;
        switch (input.Role)
        {
            case InputRole.CachePosition:
                Count(data, convert);
                break;
            case InputRole.LastPosition:
                for (var row = 0; row < rows; row++)
                {
                    data[row] = convert(batch[row].InputIds.Length - 1);
                }

                break;
            case InputRole.TotalLength:
                data[0] = convert(length);
                break;
            case InputRole.UseCacheBranch or InputRole.Zero:
                data[0] = convert(0);
                break;
            default:
                for (var row = 0; row < rows; row++)
                {
                    FillRow(input.Role, batch[row], data.Slice(row * length, length), batch.PadId, convert);
                }

                break;
        }

        return OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, memory, shape);
    }

    private static void FillRow<T>(InputRole role, SequenceRow row, Span<T> data, int padId, Func<int, T> convert)
    {
        var own = row.InputIds.Length;
        if (role == InputRole.PositionIds)
        {
            Count(data, convert);
            return;
        }

        if (role == InputRole.AttentionMask)
        {
            data[..own].Fill(convert(1));
            data[own..].Fill(convert(0));
            return;
        }

        var values = role == InputRole.InputIds ? row.InputIds : row.TypeIds;
        if (values is null)
        {
            data.Fill(convert(0));
            return;
        }

        for (var i = 0; i < own; i++)
        {
            data[i] = convert(values[i]);
        }

        data[own..].Fill(convert(role == InputRole.InputIds ? padId : 0));
    }

    private static void Count<T>(Span<T> data, Func<int, T> convert)
    {
        for (var i = 0; i < data.Length; i++)
        {
            data[i] = convert(i);
        }
    }

    // A graph with a fixed batch gets its missing rows from the first one.
    private sealed record Batch(IReadOnlyList<SequenceRow> Given, int Count, int Length, int PadId)
    {
        public int Rows => Count;

        public SequenceRow this[int row] => Given[row < Given.Count ? row : 0];
    }

    // Input buffers of one run, from the shared pool.
    private sealed class Buffers
    {
        private readonly List<Action> returns = [];

        public Memory<T> Rent<T>(int count)
        {
            var array = ArrayPool<T>.Shared.Rent(Math.Max(1, count));
            returns.Add(() => ArrayPool<T>.Shared.Return(array));
            return array.AsMemory(0, count);
        }

        public void Return() => returns.ForEach(r => r());
    }
}
