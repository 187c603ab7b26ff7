using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Generation.Sampling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Generation;

/// <summary>One choice whose tokens are chosen one after the other, greedily or at random.</summary>
internal sealed class SampledSequence : RowGroup
{
    private readonly GenerationRun run;
    private readonly int index;
    private readonly int[] prompt;
    private readonly TokenSelector selector;
    private readonly HashSet<int> ends;
    private readonly int most;
    private readonly DecodeStream text;
    private readonly StopMatcher? stops;
    private readonly List<int> generated = [];
    private readonly List<int> all;
    private FinishReason? finish;

    /// <summary>A sequence that has generated nothing yet.</summary>
    /// <param name="run">Who is told.</param>
    /// <param name="index">Which choice it is.</param>
    /// <param name="prompt">What it goes on from.</param>
    /// <param name="plan">How.</param>
    /// <param name="tokenizer">Makes the text.</param>
    /// <param name="encoder">What the decoder of an encoder-decoder reads.</param>
    public SampledSequence(GenerationRun run, int index, int[] prompt, GenerationPlan plan, Tokenizer tokenizer, EncoderStates? encoder)
        : base(run.Context, encoder)
    {
        this.run = run;
        this.index = index;
        this.prompt = prompt;
        all = [.. prompt];
        selector = new TokenSelector(plan.Sampling, plan.Seed + (ulong)index);
        ends = plan.Ends;
        most = plan.Sampling.MaxNewTokens;
        text = tokenizer.DecodeStream(skipSpecialTokens: true);
        stops = plan.Stops.Count == 0 ? null : new StopMatcher(plan.Stops);
    }

    /// <inheritdoc/>
    public override IReadOnlyList<int> Prompt => all;

    /// <inheritdoc/>
    public override int MostRows => 1;

    /// <inheritdoc/>
    public override bool CanBePreempted => Encoder is null;

    /// <inheritdoc/>
    public override void Read(int row, ReadOnlySpan<float> logits)
    {
        var token = selector.Select(logits, prompt, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(generated));
        generated.Add(token.Id);
        all.Add(token.Id);
        var ended = ends.Contains(token.Id);
        finish = ended ? FinishReason.Stop : generated.Count >= most ? FinishReason.Length : null;

        var piece = ended ? "" : text.Push(token.Id);
        piece += finish is null ? "" : text.Flush();
        if (stops is not null)
        {
            var (certain, stopped) = stops.Push(piece);
            piece = stopped || finish is null ? certain : certain + stops.Flush();
            finish = stopped ? FinishReason.Stop : finish;
        }

        run.Tell(new GenerationEvent(index, piece, token.Id, token, finish));
    }

    /// <inheritdoc/>
    public override IReadOnlyList<(int Parent, int Token)> Advance()
    {
        if (finish is null)
        {
            return [(0, generated[^1])];
        }

        Done();
        return [];
    }

    /// <inheritdoc/>
    protected override void OnFailed(Exception exception) => run.Fail(exception);
}
