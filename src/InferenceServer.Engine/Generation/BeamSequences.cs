using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation.Sampling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Generation;

/// <summary>The beams of one request: the choices are its best hypotheses.</summary>
/// <param name="run">Who is told.</param>
/// <param name="prompt">What they go on from.</param>
/// <param name="plan">How.</param>
/// <param name="tokenizer">Makes the texts.</param>
/// <param name="encoder">What the decoder of an encoder-decoder reads.</param>
internal sealed class BeamSequences(GenerationRun run, int[] prompt, GenerationPlan plan, Tokenizer tokenizer, EncoderStates? encoder) : RowGroup(run.Context, encoder)
{
    private readonly BeamSearch search = new(plan.Beams!, prompt);
    private float[] logits = [];
    private int rows = 1; // of the step that is being read; the first is of the prompt alone

    /// <inheritdoc/>
    public override IReadOnlyList<int> Prompt => prompt;

    /// <inheritdoc/>
    public override int MostRows => plan.Beams!.NumBeams;

    /// <inheritdoc/>
    public override bool CanBePreempted => false;

    /// <inheritdoc/>
    public override void Read(int row, ReadOnlySpan<float> logits)
    {
        if (this.logits.Length < logits.Length * MostRows)
        {
            this.logits = new float[logits.Length * MostRows];
        }

        logits.CopyTo(this.logits.AsSpan(row * logits.Length));

        // All beams begin alike: the prompt is computed once.
        for (var copy = 1; rows == 1 && copy < MostRows; copy++)
        {
            logits.CopyTo(this.logits.AsSpan(copy * logits.Length));
        }
    }

    /// <inheritdoc/>
    public override IReadOnlyList<(int Parent, int Token)> Advance()
    {
        var next = search.Step(logits);
        run.Counted();
        if (!search.IsDone)
        {
            (int, int)[] steps = [.. next.Select(beam => (rows == 1 ? 0 : beam.Parent, beam.Token))];
            rows = steps.Length;
            return steps;
        }

        var hypotheses = search.Finish();
        for (var i = 0; i < hypotheses.Count; i++)
        {
            var ended = hypotheses[i].TokenIds.Count > 0 && plan.Ends.Contains(hypotheses[i].TokenIds[^1]);
            var ids = hypotheses[i].TokenIds;
            var text = tokenizer.Decode([.. ended ? ids.SkipLast(1) : ids], skipSpecialTokens: true);
            run.Finish(new GenerationChoice(i, text, ids, ended ? FinishReason.Stop : FinishReason.Length) { Score = hypotheses[i].Score });
        }

        Done();
        run.End(hypotheses.Count > 0 ? null : new InferenceException(ErrorCode.Unprocessable, $"The bans of the request leave no text that could follow. Ban fewer tokens."));
        return [];
    }

    /// <inheritdoc/>
    protected override void OnFailed(Exception exception) => run.Fail(exception);
}
