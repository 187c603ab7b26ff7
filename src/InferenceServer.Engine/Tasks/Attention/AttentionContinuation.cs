using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Generate;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>A prompt with what a decoder alone goes on with, greedily: the row of each produced token is among the others, and all of them come from one pass.</summary>
internal static class AttentionContinuation
{
    private static readonly Argument MaxNewTokens = Argument.Of(nameof(AttentionRequest.MaxNewTokens));

    /// <summary>The longer sequence.</summary>
    /// <exception cref="InferenceException">The model generates no text, there is no room, or the queue refused.</exception>
    public static async Task<PreparedInput> PrepareAsync(Model model, PreparedInput prompt, int most, RequestContext context)
    {
        if (model.Generator is not { IsEncoderDecoder: false })
        {
            throw InferenceException.Unprocessable(MaxNewTokens, $"{MaxNewTokens} is for decoders that go on with a text; the model {model.Manifest.Id} does not. Leave {MaxNewTokens} out.");
        }

        var room = model.MaxTokens - prompt.Length;
        if (most < 1 || most > room)
        {
            throw InferenceException.Unprocessable(MaxNewTokens, $"{MaxNewTokens} is {most}; beside the {prompt.Length} tokens of the prompt it goes from 1 to {room} (the model takes {model.MaxTokens}).");
        }

        var run = await new GenerateTask().StartAsync(model, new GenerateRequest { InputIds = prompt.Graph.InputIds, Temperature = 0, MaxNewTokens = most }, context).ConfigureAwait(false);
        int[] made = [.. (await run.CompleteAsync().ConfigureAwait(false))[0].TokenIds];
        var (encoding, count) = (prompt.Encoding, made.Length);
        int[] ids = [.. encoding.Ids, .. made];
        var longer = new TokenEncoding
        {
            Ids = ids,
            TypeIds = [.. encoding.TypeIds, .. new int[count]],
            Offsets = [.. encoding.Offsets, .. new (int, int)[count]],
            SpecialTokensMask = [.. encoding.SpecialTokensMask, .. new byte[count]],
            WordIds = [.. encoding.WordIds, .. Enumerable.Repeat(-1, count)],
            SequenceIds = [.. encoding.SequenceIds, .. Enumerable.Repeat((sbyte)0, count)],
            AttentionMask = [.. encoding.AttentionMask, .. Enumerable.Repeat((byte)1, count)],
            MakeTokens = () => [.. encoding.Tokens, .. made.Select(id => model.Tokenizer.IdToToken(id) ?? "")],
        };
        return prompt with { Encoding = longer, Graph = new GraphInput(ids), Given = prompt.Length };
    }
}
