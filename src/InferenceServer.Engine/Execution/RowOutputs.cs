namespace InferenceServer.Engine.Execution;

/// <summary>
/// One sequence's part of a batch's outputs, straight in the native buffers: valid only inside the callback that receives it.
/// Batches are padded at the right, so positions <c>0 .. Length-1</c> are the sequence's own.
/// </summary>
public readonly ref struct RowOutputs
{
    private readonly IRowSource source;
    private readonly int row;

    internal RowOutputs(IRowSource source, int row, int length)
    {
        this.source = source;
        this.row = row;
        Length = length;
    }

    /// <summary>The same row, asked for its outputs by other names.</summary>
    internal RowOutputs Named(Func<string, string> nameOf) => new(new NamedRows(source, nameOf), row, Length);

    private sealed class NamedRows(IRowSource source, Func<string, string> nameOf) : IRowSource
    {
        public OutputRow Row(string output, int row) => source.Row(nameOf(output), row);
    }

    /// <summary>Number of tokens of the sequence.</summary>
    public int Length { get; }

    /// <summary>The row of an output that was asked for.</summary>
    public OutputRow this[string output] => source.Row(output, row);
}

/// <summary>A row of one output: float32, row-major. <see cref="Shape"/> is without the batch axis and includes padding.</summary>
public readonly ref struct OutputRow(ReadOnlySpan<float> data, ReadOnlySpan<int> shape)
{
    /// <summary>The values.</summary>
    public ReadOnlySpan<float> Data { get; } = data;

    /// <summary>The padded shape without the batch axis: <c>[S, H]</c>, <c>[heads, S, S]</c>, <c>[labels]</c>.</summary>
    public ReadOnlySpan<int> Shape { get; } = shape;

    /// <summary>The vector at <paramref name="position"/> of a <c>[S, D]</c> row.</summary>
    public ReadOnlySpan<float> At(int position) => Data.Slice(position * Shape[1], Shape[1]);

    /// <summary>The vector of <paramref name="head"/> and <paramref name="query"/> of a <c>[heads, S, S]</c> row (padded keys included).</summary>
    public ReadOnlySpan<float> At(int head, int query) => Data.Slice(((head * Shape[1]) + query) * Shape[2], Shape[2]);
}

/// <summary>Where rows are read from: the outputs of one run, float16 already widened.</summary>
internal interface IRowSource
{
    /// <summary>Row <paramref name="row"/> of an output.</summary>
    OutputRow Row(string output, int row);
}
