using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Sessions;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Loading;

/// <summary>
/// The first runs of a graph: they fill its caches, show that graph and tokenizer belong together, and find out whether a
/// padded batch gives what each sequence gives alone. Where it does not, sequences of that graph run one at a time.
/// </summary>
internal static class WarmUp
{
    private const string Short = "A first run.";
    private const string Long = "A second sentence, which is longer than the first, so that the first one is padded when both run together.";
    private const float Tolerance = 1e-3f; // relative to the largest value where that is above 1
    private const float HalfTolerance = 3e-2f; // float16 sums differ by their order

    /// <summary>Runs the graph; returns a note for people when its sequences run one at a time, else null.</summary>
    /// <exception cref="ModelLoadException">The graph cannot run what the tokenizer gives.</exception>
    public static string? Run(GraphSession session, GraphSummary summary, Tokenizer tokenizer, int maxTokens)
    {
        SequenceRow[] rows = [Row(Short), Row(Long)];
        return Run(session, summary, rows);

        SequenceRow Row(string text)
        {
            var encoding = tokenizer.Encode(text);
            int[] ids = encoding.Length == 0 ? [0] : encoding.Ids;
            int[] types = encoding.Length == 0 ? [0] : encoding.TypeIds;
            return new SequenceRow(ids[..Math.Min(ids.Length, maxTokens)], types[..Math.Min(ids.Length, maxTokens)]);
        }
    }

    /// <summary>Runs two rows alone and together and compares.</summary>
    internal static string? Run(GraphSession session, GraphSummary summary, IReadOnlyList<SequenceRow> rows)
    {
        if (session.Rules.EqualLengthsOnly)
        {
            var row = OfLength(rows[0], session.Rules.FixedLength ?? rows[0].InputIds.Length);
            rows = [row, row];
        }

        var outputs = session.ComparableOutputs;
        List<Dictionary<string, (float[] Data, int[] Shape)>> alone;
        try
        {
            alone = [.. rows.Select(r => Read(session, [r], outputs)[0])];
        }
        catch (InferenceException e)
        {
            var file = Path.GetFileName(summary.File);
            throw new ModelLoadException(e.Kind == ErrorKind.Unprocessable
                ? $"{file}: the tokenizer gives ids that the graph does not have; the two do not belong together. Download the folder again."
                : $"{file}: the first run failed: {session.Explain(e)}. Export the model again.", e);
        }

        if (session.Rules.MaxSequences == 1)
        {
            return summary.QuantizesActivations
                ? "Its activations are quantised with one scale for a whole batch, so a result would depend on what else is in it: sequences run one at a time."
                : "The graph takes one sequence: sequences run one at a time.";
        }

        try
        {
            var together = Read(session, rows, outputs);
            var tolerance = summary.WeightType == "float16" ? HalfTolerance : Tolerance;
            for (var row = 0; row < rows.Count; row++)
            {
                if (outputs.FirstOrDefault(o => !Equal(alone[row][o], together[row][o], tolerance)) is { } output)
                {
                    session.RunAlone();
                    return $"In a padded batch its output '{output}' differs from that of a sequence alone: sequences run one at a time.";
                }
            }

            return null;
        }
        catch (InferenceException e)
        {
            session.RunAlone();
            return $"The graph refuses a batch ({session.Explain(e)}): sequences run one at a time.";
        }
    }

    private static SequenceRow OfLength(SequenceRow row, int length) =>
        new([.. Enumerable.Range(0, length).Select(i => row.InputIds[i % row.InputIds.Length])], null);

    private static List<Dictionary<string, (float[] Data, int[] Shape)>> Read(GraphSession session, IReadOnlyList<SequenceRow> rows, IReadOnlyList<string> outputs)
    {
        using var run = session.Run(rows, outputs, CancellationToken.None);
        var read = new List<Dictionary<string, (float[] Data, int[] Shape)>>(rows.Count);
        for (var row = 0; row < rows.Count; row++)
        {
            var values = new Dictionary<string, (float[] Data, int[] Shape)>(outputs.Count);
            foreach (var output in outputs)
            {
                var own = run.Row(output, row);
                values[output] = (own.Data.ToArray(), own.Shape.ToArray());
            }

            read.Add(values);
        }

        return read;
    }

    // The smaller shape decides: what is beyond it in the other is padding.
    private static bool Equal((float[] Data, int[] Shape) alone, (float[] Data, int[] Shape) padded, float tolerance)
    {
        if (alone.Shape.Length != padded.Shape.Length || alone.Shape.Where((size, axis) => size > padded.Shape[axis]).Any())
        {
            return false;
        }

        if (alone.Data.Length == 0)
        {
            return true;
        }

        var limit = tolerance * Math.Max(1f, alone.Data.Where(float.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max());
        return SameFrom(0, 0, 0);

        bool SameFrom(int axis, int atAlone, int atPadded)
        {
            if (axis == alone.Shape.Length)
            {
                var (a, b) = (alone.Data[atAlone], padded.Data[atPadded]);
                return a.Equals(b) || Math.Abs(a - b) <= limit || (a < -1e4f && b < -1e4f); // masked scores
            }

            for (var i = 0; i < alone.Shape[axis]; i++)
            {
                if (!SameFrom(axis + 1, (atAlone * alone.Shape[axis]) + i, (atPadded * padded.Shape[axis]) + i))
                {
                    return false;
                }
            }

            return true;
        }
    }
}
