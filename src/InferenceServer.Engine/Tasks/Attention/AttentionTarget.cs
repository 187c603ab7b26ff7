using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks.Generate;

namespace InferenceServer.Engine.Tasks.Attention;

/// <summary>What the decoder of an encoder-decoder reads: the ids that are given, a text, or what the model makes of the source itself.</summary>
internal static class AttentionTarget
{
    private static readonly Argument TargetIds = Argument.Of(nameof(AttentionRequest.TargetIds));
    private static readonly Argument TargetText = Argument.Of(nameof(AttentionRequest.TargetText));

    /// <summary>The decoder's input ids, its start token first and the end token, which it never reads, left out.</summary>
    /// <exception cref="InferenceException">There are two targets, one is too long, or the queue refused.</exception>
    public static async Task<PreparedInput> PrepareAsync(Model model, string? targetText, int[]? targetIds, PreparedInput source, RequestContext context)
    {
        var generator = model.Generator!;
        var argument = targetText is null ? TargetIds : TargetText;
        if (targetText is not null && targetIds is not null)
        {
            throw InferenceException.Unprocessable(TargetText, $"{TargetText} and {TargetIds} exclude each other: send one of them.");
        }

        var ids = targetIds ?? [generator.StartTokenId!.Value, .. targetText is { } text ? OfText(model, text, context) : await OwnAsync(model, source, context).ConfigureAwait(false)];
        if (ids.Length > generator.MaxTokens)
        {
            throw InferenceException.Unprocessable(argument, $"{argument} is {ids.Length} tokens long, the start token included; the decoder takes at most {generator.MaxTokens}. Shorten it.");
        }

        return (TextInput.OfIds(ids) with { Argument = argument }).Prepare(model, context);
    }

    private static int[] OfText(Model model, string text, RequestContext context)
    {
        (TextInput.Of(text) with { Argument = TargetText }).Prepare(model, context); // that it is a text, and no longer than one may be
        return WithoutEnd(model, [.. model.Tokenizer.EncodeTarget(text).Ids]);
    }

    private static async Task<int[]> OwnAsync(Model model, PreparedInput source, RequestContext context)
    {
        var run = await new GenerateTask().StartAsync(model, new GenerateRequest { InputIds = source.Graph.InputIds, Temperature = 0 }, context).ConfigureAwait(false);
        return WithoutEnd(model, [.. (await run.CompleteAsync().ConfigureAwait(false))[0].TokenIds]);
    }

    private static int[] WithoutEnd(Model model, int[] ids) => ids is [.. var before, var last] && model.Generator!.Defaults.EosTokenIds.Contains(last) ? before : ids;
}
