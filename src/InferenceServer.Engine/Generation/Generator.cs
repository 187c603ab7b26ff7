using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Manifest;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Generation;

/// <summary>The encoder before a decoder.</summary>
/// <param name="Executor">The way to it.</param>
/// <param name="Output">Its output with the states <c>[batch, source, hidden]</c>.</param>
internal sealed record EncoderPart(IGraphExecutor Executor, string Output);

/// <summary>What a model generates text with. Thread-safe.</summary>
public sealed class Generator : IAsyncDisposable
{
    private readonly StepLoop loop;
    private readonly Tokenizer tokenizer;
    private readonly EncoderPart? encoder;
    private readonly Admission admission;
    private readonly GraphExecutor executor; // of the decoder without a past
    private readonly string model;
    private readonly TimeProvider time;

    /// <summary>A generator that is idle.</summary>
    /// <param name="decoder">What runs.</param>
    /// <param name="executors">Where.</param>
    /// <param name="encoder">The encoder before it; null: there is none.</param>
    /// <param name="tokenizer">Makes the texts.</param>
    /// <param name="defaults">How the folder wants text to be generated.</param>
    /// <param name="maxTokens">Most tokens of a sequence, the prompt of a decoder alone included; null: as many as the caches hold.</param>
    /// <param name="options">The bounds.</param>
    /// <param name="model">The model's id.</param>
    /// <param name="time">The clock.</param>
    internal Generator(Decoder decoder, DecoderExecutors executors, EncoderPart? encoder, Tokenizer tokenizer, GenerationConfig defaults, int? maxTokens, GenerationOptions options, string model, TimeProvider time)
    {
        this.tokenizer = tokenizer;
        this.encoder = encoder;
        this.model = model;
        this.time = time;
        executor = executors.First;
        admission = executor.Admission;
        Defaults = defaults;
        LogitsOutput = decoder.LogitsOutput;
        MaxSequences = options.MaxSequences;
        loop = new StepLoop(decoder, executors, options, model, time);
        MaxTokens = (int)Math.Min(maxTokens ?? int.MaxValue, Math.Min(int.MaxValue, loop.Budget));
        StartTokenId = encoder is null ? null : StartOf(defaults, tokenizer);
    }

    /// <summary>How the folder wants text to be generated.</summary>
    public GenerationConfig Defaults { get; }

    /// <summary>Most tokens of a sequence: of a decoder alone prompt and text together, of an encoder-decoder the text.</summary>
    public int MaxTokens { get; }

    /// <summary>Most choices or beams of a request.</summary>
    public int MaxSequences { get; }

    /// <summary>The decoder's output with the logits.</summary>
    internal string LogitsOutput { get; }

    /// <summary>True for an encoder-decoder: the prompt is read by the encoder.</summary>
    public bool IsEncoderDecoder => encoder is not null;

    /// <summary>What the text of an encoder-decoder begins with, unseen; null for a decoder alone.</summary>
    public int? StartTokenId { get; }

    /// <summary>Most tokens whose keys and values are kept at a time.</summary>
    public long MaxCachedTokens => loop.Budget;

    /// <summary>Sequences that wait or run.</summary>
    public int Running => loop.Count;

    /// <summary>What a decoder begins with: what the folder says, else the beginning of a text, else the padding.</summary>
    internal static int StartOf(GenerationConfig defaults, Tokenizer tokenizer) =>
        defaults.DecoderStartTokenId ?? defaults.BosTokenId ?? tokenizer.Named.Bos?.Id ?? tokenizer.Named.Pad?.Id ?? 0;

    /// <summary>The text of one token alone, special ones included.</summary>
    public string TextOf(int id) => tokenizer.Decode([id], skipSpecialTokens: false);

    /// <summary>Begins to generate.</summary>
    /// <param name="prompt">Token ids of the prompt; of an encoder-decoder the source.</param>
    /// <param name="plan">How.</param>
    /// <param name="context">The request. When it is cancelled its place is free at the next step.</param>
    /// <exception cref="InferenceException">The queue is full, or the encoder failed.</exception>
    public async Task<GenerationRun> StartAsync(int[] prompt, GenerationPlan plan, RequestContext context)
    {
        EncoderStates? states = null;
        int[] begin = prompt;
        if (encoder is not null)
        {
            var read = await encoder.Executor.RunAsync([new GraphInput(prompt)], [encoder.Output], (_, row) => StatesOf(row[encoder.Output], row.Length), context).ConfigureAwait(false);
            states = read[0];
            begin = [StartTokenId!.Value];
        }

        var groups = plan.Beams is null ? plan.Choices : 1;
        admission.Admit(context, groups, (long)groups * prompt.Length);

        RowGroup? first = null;
        var run = new GenerationRun(context, plan.Choices, prompt.Length, plan.Sampling.LogProbs is not null, time, () => first?.Started ?? 0, () => EngineMetrics.Generation(model, -groups));
        EngineMetrics.Generation(model, groups);
        for (var i = 0; i < groups; i++)
        {
            if (plan.Echo is not null)
            {
                run.Before(i, plan.Echo);
            }

            Action waits = () => admission.Leave(1, prompt.Length);
            RowGroup group = plan.Beams is null ? new SampledSequence(run, i, begin, plan, tokenizer, states) { Waits = waits } : new BeamSequences(run, begin, plan, tokenizer, states) { Waits = waits };
            first ??= group;
            loop.Submit(group);
        }

        return run;
    }

    /// <summary>Runs the decoder of an encoder-decoder over a whole target, and reads outputs of its graph.</summary>
    /// <param name="source">Token ids that the encoder reads.</param>
    /// <param name="target">The decoder's input ids, its start token included.</param>
    /// <param name="outputs">Outputs of the decoder's graph.</param>
    /// <param name="read">Reads them, on a worker's thread.</param>
    /// <param name="context">The request.</param>
    /// <param name="encoderMask">What the encoder's heads are multiplied with; null: 1.</param>
    /// <param name="decoderMask">The same of the decoder's.</param>
    /// <exception cref="InferenceException">The queue is full, or a graph failed.</exception>
    internal async Task<T> RunTargetAsync<T>(int[] source, int[] target, IReadOnlyList<string> outputs, RowReader<T> read, RequestContext context, float[]? encoderMask = null, float[]? decoderMask = null)
    {
        static IGraphExecutor With(IGraphExecutor executor, float[]? switches) => switches is null ? executor : new MaskedHeadsExecutor(executor, switches);
        var states = await With(encoder!.Executor, encoderMask).RunAsync([new GraphInput(source)], [encoder.Output], (_, row) => StatesOf(row[encoder.Output], row.Length), context).ConfigureAwait(false);
        return (await With(executor, decoderMask).RunAsync([new GraphInput(target) { Encoder = states[0] }], outputs, read, context).ConfigureAwait(false))[0];
    }

    // Without those of the padding beside a longer source.
    private static EncoderStates StatesOf(OutputRow states, int length) => new(states.Data[..(length * states.Shape[1])].ToArray(), length);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => loop.DisposeAsync();
}
