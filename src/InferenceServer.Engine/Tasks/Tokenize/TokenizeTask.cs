using System.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Tokenize;

/// <summary>Texts to tokens, as the model's tokenizer makes them.</summary>
public sealed class TokenizeTask : ITask
{
    /// <inheritdoc/>
    public string Name => "tokenize";

    /// <inheritdoc/>
    public bool Supports(Model model) => true;

    /// <summary>Tokenises every input. Nothing is cut unless it is asked for, whatever the tokenizer's files say.</summary>
    /// <exception cref="InferenceException">No inputs, pairs that do not fit them, or a length that leaves no room for a token.</exception>
    public Task<TokenizeResult> RunAsync(Model model, TokenizeRequest request, RequestContext context)
    {
        if (request.Inputs.Count == 0)
        {
            throw InferenceException.Unprocessable("inputs", "inputs is empty: at least 1 text is needed.");
        }

        if (request.Pairs is { } pairs && pairs.Count != request.Inputs.Count)
        {
            throw InferenceException.Unprocessable("pairs", $"pairs has {pairs.Count} texts and inputs {request.Inputs.Count}: both must have the same number.");
        }

        var overflow = request.MaxLength is not null || request.Stride is not null;
        var pieces = 0L;
        var items = new TokenizedItem[request.Inputs.Count];
        for (var i = 0; i < items.Length; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            var (text, pair) = (request.Inputs[i], request.Pairs?[i]);
            var truncation = TruncationOf(model, request, pair is not null) is { } cut ? cut with { KeepsRest = overflow } : null;
            var start = Stopwatch.GetTimestamp();
            var encoding = model.Tokenizer.Encode(text, pair, request.AddSpecialTokens, truncation);
            context.AddTokenize(Stopwatch.GetElapsedTime(start));
            context.AddTokens(encoding.Length);
            pieces += encoding.Overflowing.Sum(piece => (long)piece.Length);
            if (pieces > context.MaxTokens)
            {
                throw new InferenceException(
                    ErrorCode.TooLarge,
                    $"What is cut off has more than {context.MaxTokens} tokens as overflow pieces, the most of one request (setting Limits:MaxTokens). Raise max_length, lower the stride, or send fewer texts.");
            }

            var (textOffsets, pairOffsets) = (new TextOffsets(text), pair is null ? null : new TextOffsets(pair));
            items[i] = ItemOf(encoding, textOffsets, pairOffsets) with
            {
                Overflow = overflow && encoding.Overflowing.Count > 0 ? [.. encoding.Overflowing.Select(piece => ItemOf(piece, textOffsets, pairOffsets))] : null,
            };
        }

        return Task.FromResult(new TokenizeResult(items));
    }

    private static Truncation? TruncationOf(Model model, TokenizeRequest request, bool pair)
    {
        if (!request.Truncate && request.MaxLength is null)
        {
            return request.Stride is null
                ? null
                : throw InferenceException.Unprocessable("stride", "stride is for truncation: set truncate to true or give max_length, or leave stride out.");
        }

        var maxLength = request.MaxLength ?? model.MaxTokens;
        var added = request.AddSpecialTokens ? model.Tokenizer.SpecialTokensToAdd(pair) : 0;
        if (maxLength <= added)
        {
            throw InferenceException.Unprocessable(
                "max_length",
                $"max_length is {maxLength}; the smallest value here is {added + 1}, since the tokenizer adds {added} special tokens.");
        }

        var stride = request.Stride ?? 0;
        if (stride < 0 || stride >= maxLength - added)
        {
            throw InferenceException.Unprocessable(
                "stride",
                $"stride is {stride}; it goes from 0 to {maxLength - added - 1} (below max_length less the {added} special tokens). Lower it or raise max_length.");
        }

        return new Truncation(maxLength, stride, Direction: model.Tokenizer.TruncationSide);
    }

    private static TokenizedItem ItemOf(TokenEncoding encoding, TextOffsets text, TextOffsets? pair)
    {
        var offsets = new int[encoding.Length][];
        for (var i = 0; i < offsets.Length; i++)
        {
            var (start, end) = (encoding.SequenceIds[i] == 1 && pair is not null ? pair : text).ToCodePoints(encoding.Offsets[i]);
            offsets[i] = [start, end];
        }

        return new TokenizedItem
        {
            Ids = encoding.Ids,
            Tokens = encoding.Tokens,
            Offsets = offsets,
            TypeIds = encoding.TypeIds,
            SpecialTokensMask = Array.ConvertAll(encoding.SpecialTokensMask, mask => (int)mask),
            WordIds = Array.ConvertAll(encoding.WordIds, word => word < 0 ? (int?)null : word),
        };
    }
}
