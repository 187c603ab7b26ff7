using System.Globalization;
using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Sessions;

/// <summary>
/// A graph as its file has it, and beside it the same graph with its attention probabilities exposed, opened when they are
/// first asked for. Both copies of the weights are then in memory.
/// </summary>
/// <remarks>
/// Two sessions, because ONNX Runtime keeps every graph output to the end of a run, whether it was asked for or not: with
/// exposed attention a text of n tokens costs <c>layers x heads x n x n</c> floats even where only a vector is wanted, and
/// fused operators take their slower path.
/// </remarks>
/// <param name="plain">The graph as it is.</param>
/// <param name="taps">Names of the outputs that only the edited graph has.</param>
/// <param name="open">Opens the edited graph.</param>
/// <param name="mostBytes">Most bytes of exposed attention that one run may hold.</param>
internal sealed class TappedGraph(GraphSession plain, IReadOnlySet<string> taps, Func<GraphSession> open, long mostBytes) : IGraphRunner
{
    private readonly Lock gate = new();
    private GraphSession? tapped;

    /// <inheritdoc/>
    public BatchRules Rules => plain.Rules;

    /// <inheritdoc/>
    public bool HasOutput(string name) => plain.HasOutput(name) || taps.Contains(name);

    /// <inheritdoc/>
    public long OutputBytes(string name, int rows, int length) => taps.Contains(name) ? plain.AttentionBytes(rows, length) : plain.OutputBytes(name, rows, length);

    /// <inheritdoc/>
    public IBatchOutputs Run(IReadOnlyList<SequenceRow> rows, IReadOnlyCollection<string> outputs, CancellationToken terminate)
    {
        if (!outputs.Any(taps.Contains))
        {
            return plain.Run(rows, outputs, terminate);
        }

        var length = rows.Max(r => Rules.Padded(r.InputIds.Length));
        var bytes = taps.Count * plain.AttentionBytes(rows.Count, length);
        if (bytes > mostBytes)
        {
            throw new InferenceException(ErrorCode.TooLarge, $"The attention of {taps.Count} layers at {length} tokens takes {bytes} bytes while the model runs; at most {mostBytes} are allowed. Send a shorter text.") { Limit = "MaxSequenceOutputBytes" };
        }

        return Tapped().Run(rows, outputs, terminate);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        tapped?.Dispose();
        plain.Dispose();
    }

    private GraphSession Tapped()
    {
        lock (gate)
        {
            if (tapped is null)
            {
                try
                {
                    tapped = open();
                }
                catch (ModelLoadException e)
                {
                    throw new InferenceException(ErrorCode.Unprocessable, $"The runtime does not run this model with its attention probabilities as outputs. Export it with attn_implementation=eager.", null, e);
                }

                tapped.PadId = plain.PadId;
            }

            return tapped;
        }
    }
}
