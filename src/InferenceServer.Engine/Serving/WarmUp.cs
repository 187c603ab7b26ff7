using System.Globalization;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Serving;

/// <summary>
/// The first runs of a graph: they fill its caches, show that graph and tokenizer belong together, and find out whether a
/// padded batch gives what each sequence gives alone. Where it does not, sequences of that graph run one at a time. Shapes of
/// outputs that the file leaves open are known after them.
/// </summary>
internal static class WarmUp
{
    private const string Short = "A first run.";
    private const string Long = "A second sentence, which is longer than the first, so that the first one is padded when both run together.";
    private const int ShortTokens = 3;
    private const int LongestTried = 2048; // longer rows seldom share a batch, and attention's memory grows with the square
    private const float Tolerance = 1e-3f; // relative to the largest value where that is above 1
    private const float HalfTolerance = 3e-2f; // float16 sums differ by their order

    /// <summary>Runs the graph; returns the summary with the shapes that were seen, and a note for people when its sequences run one at a time, else null.</summary>
    /// <exception cref="ModelLoadException">The graph cannot run what the tokenizer gives.</exception>
    /// <param name="graph">The graph.</param>
    /// <param name="summary">What its file says.</param>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="manifest">What the folder says.</param>
    /// <param name="maxTokens">Most tokens of a sequence.</param>
    /// <param name="batchTokens">Most padded tokens of a batch: of two rows each has half of them at most.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="OperationCanceledException">It was ended.</exception>
    public static (GraphSummary Summary, string? Note) Run(Graph graph, GraphSummary summary, Tokenizer tokenizer, ModelManifest manifest, int maxTokens, int batchTokens, CancellationToken cancellation = default)
    {
        GraphInput[] rows = [Row(Short), Row(Long)];
        return Run(graph, summary, rows, manifest, Math.Min(maxTokens, batchTokens / 2), cancellation);

        GraphInput Row(string text)
        {
            var encoding = tokenizer.Encode(text);
            int[] ids = encoding.Length == 0 ? [0] : encoding.Ids;
            int[] types = encoding.Length == 0 ? [0] : encoding.TypeIds;
            return new GraphInput(ids[..Math.Min(ids.Length, maxTokens)], types[..Math.Min(ids.Length, maxTokens)]);
        }
    }

    /// <summary>Runs two rows alone and together and compares.</summary>
    internal static (GraphSummary Summary, string? Note) Run(Graph graph, GraphSummary summary, IReadOnlyList<GraphInput> rows, ModelManifest? manifest = null, int longest = 0, CancellationToken cancellation = default)
    {
        if (graph.Constraints.EqualLengthsOnly)
        {
            var row = OfLength(rows[0], graph.Constraints.FixedLength ?? rows[0].InputIds.Length);
            rows = [row, row];
        }

        var outputs = graph.Outputs;
        List<Dictionary<string, (float[] Data, int[] Shape)>> alone;
        try
        {
            alone = [.. rows.Select(r => Read(graph, [r], outputs, cancellation)[0])];
        }
        catch (InferenceException e)
        {
            var file = Path.GetFileName(summary.File);
            throw new ModelLoadException(e.Code == ErrorCode.Unprocessable
                ? $"{file}: the tokenizer gives ids that the graph does not have; the two do not belong together. Download the folder again."
                : $"{file}: the first run failed: {Graph.Explain(e)}. Export the model again.", e);
        }

        RequireNumbers(summary, outputs, alone, manifest);
        var note = Note(graph, summary, rows, outputs, alone, cancellation) ?? Extremes(graph, summary, rows[0], outputs, manifest, longest, cancellation);
        return (WithShapes(summary, rows, alone), note);
    }

    /// <summary>A graph that gives no numbers for any text gives none for the next either.</summary>
    private static void RequireNumbers(GraphSummary summary, IReadOnlyList<string> outputs, List<Dictionary<string, (float[] Data, int[] Shape)>> alone, ModelManifest? manifest)
    {
        // Minus infinity is a number to a mask.
        if (outputs.FirstOrDefault(o => alone.TrueForAll(row => row[o].Data.Any(value => float.IsNaN(value) || float.IsPositiveInfinity(value)))) is not { } output)
        {
            return;
        }

        var others = manifest is null ? [] : OnnxFiles.All(manifest.Folder).Where(name => Path.GetFullPath(name, manifest.Folder) != summary.File).ToList();
        var cause = summary.WeightType is "float16" or "bfloat16" ? $"its weights have half precision ({summary.WeightType}), which is the likely cause" : "the file may be damaged, or was made with half precision in between";
        var remedy = others.Count > 0 ? $"Choose another file with the setting Models:{manifest!.Id}:File: {string.Join(", ", others.Take(5))}." : "Export the model again with float32.";
        throw new ModelLoadException($"{Path.GetFileName(summary.File)}: the output '{output}' holds values that are no numbers (NaN or infinity) for every text of the first run; {cause}. {remedy}");
    }

    /// <summary>
    /// Whether a short row changes beside ones much longer: what depends on the padded length, such as an overflow or a local attention's window, shows there only.
    /// Lengths just above powers of two, beyond the window that config.json names, and the longest that can share a batch.
    /// </summary>
    private static string? Extremes(Graph graph, GraphSummary summary, GraphInput row, IReadOnlyList<string> outputs, ModelManifest? manifest, int longest, CancellationToken cancellation)
    {
        longest = Math.Min(longest, LongestTried);
        if (graph.Constraints is { MaxSequences: 1 } or { EqualLengthsOnly: true } or { FixedLength: not null } || longest <= ShortTokens)
        {
            return null;
        }

        var root = manifest?.Config.Root ?? default;
        int[] windows = [.. ((string[])["local_attention", "sliding_window", "attention_window", "window_size"]).Select(name => ConfigReader.Number(root, name)).OfType<int>().Select(window => window + 1)];
        var few = OfLength(row, ShortTokens);
        try
        {
            var alone = Read(graph, [few], outputs, cancellation)[0];
            foreach (var length in (IEnumerable<int>)[.. ((int[])[17, 33, 65, 129, 161, 257, 513, 1025, 2049, .. windows]).Where(length => length > ShortTokens && length < longest).Distinct().Order(), longest])
            {
                var beside = Read(graph, [few, OfLength(row, length)], outputs, cancellation)[0];
                if (outputs.FirstOrDefault(o => !Equal(alone[o], beside[o], ToleranceOf(summary))) is { } output)
                {
                    graph.RunAlone();
                    return string.Create(CultureInfo.InvariantCulture, $"In a batch padded to {length} tokens its output '{output}' differs from that of a sequence alone: sequences run one at a time.");
                }
            }

            return null;
        }
        catch (InferenceException e)
        {
            graph.RunAlone();
            return $"The graph refuses a batch of lengths far apart ({Graph.Explain(e)}): sequences run one at a time.";
        }
    }

    private static float ToleranceOf(GraphSummary summary) => summary.WeightType == "float16" ? HalfTolerance : Tolerance;

    private static string? Note(
        Graph graph, GraphSummary summary, IReadOnlyList<GraphInput> rows, IReadOnlyList<string> outputs, List<Dictionary<string, (float[] Data, int[] Shape)>> alone, CancellationToken cancellation)
    {
        if (graph.Constraints.MaxSequences == 1)
        {
            return summary.QuantizesActivations
                ? "Its activations are quantised with one scale for a whole batch, so a result would depend on what else is in it: sequences run one at a time."
                : "The graph takes one sequence: sequences run one at a time.";
        }

        try
        {
            var together = Read(graph, rows, outputs, cancellation);
            var tolerance = ToleranceOf(summary);
            for (var row = 0; row < rows.Count; row++)
            {
                if (outputs.FirstOrDefault(o => !Equal(alone[row][o], together[row][o], tolerance)) is { } output)
                {
                    graph.RunAlone();
                    return $"In a padded batch its output '{output}' differs from that of a sequence alone: sequences run one at a time.";
                }
            }

            return null;
        }
        catch (InferenceException e)
        {
            graph.RunAlone();
            return $"The graph refuses a batch ({Graph.Explain(e)}): sequences run one at a time.";
        }
    }

    /// <summary>
    /// Puts the number of axes that was seen where the file says none, and a size where the file says none and both runs had the same. A size equal to the length
    /// of the input stays open.
    /// </summary>
    private static GraphSummary WithShapes(GraphSummary summary, IReadOnlyList<GraphInput> rows, List<Dictionary<string, (float[] Data, int[] Shape)>> alone)
    {
        return summary with { Outputs = [.. summary.Outputs.Select(o => alone[0].TryGetValue(o.Name, out var first) ? o with { Shape = Seen(o.Shape, first.Shape, alone[1][o.Name].Shape) } : o)] };

        IReadOnlyList<string>? Seen(IReadOnlyList<string>? declared, int[] first, int[] second)
        {
            if (first.Length != second.Length || (declared is not null && declared.Count != first.Length + 1))
            {
                return declared;
            }

            string[] shape = [declared?[0] ?? "?", .. first.Select((size, axis) => declared?[axis + 1] ?? "?")];
            for (var axis = 0; axis < first.Length; axis++)
            {
                if (!int.TryParse(shape[axis + 1], out _) && first[axis] == second[axis] && first[axis] != rows[0].InputIds.Length)
                {
                    shape[axis + 1] = first[axis].ToString(CultureInfo.InvariantCulture);
                }
            }

            return shape;
        }
    }

    private static GraphInput OfLength(GraphInput row, int length) =>
        new([.. Enumerable.Range(0, length).Select(i => row.InputIds[i % row.InputIds.Length])], null);

    private static List<Dictionary<string, (float[] Data, int[] Shape)>> Read(Graph graph, IReadOnlyList<GraphInput> rows, IReadOnlyList<string> outputs, CancellationToken cancellation)
    {
        using var run = graph.Run(rows, outputs, cancellation);
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
