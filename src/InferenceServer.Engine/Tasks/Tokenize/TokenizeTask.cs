using System.Diagnostics;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks.Tokenize;

/// <summary>Texts to tokens, as the model's tokenizer makes them.</summary>
public sealed class TokenizeTask : ITask<TokenizeRequest, TokenizeResult>
{
    private static readonly Argument Inputs = Argument.Of(nameof(TokenizeRequest.Inputs));
    private static readonly Argument Pairs = Argument.Of(nameof(TokenizeRequest.Pairs));
    private static readonly Argument Truncate = Argument.Of(nameof(TokenizeRequest.Truncate));
    private static readonly Argument MaxLength = Argument.Of(nameof(TokenizeRequest.MaxLength));
    private static readonly Argument Stride = Argument.Of(nameof(TokenizeRequest.Stride));

    /// <inheritdoc/>
    public bool Supports(Model model) => true;

    /// <summary>Tokenises every input. Nothing is cut unless it is asked for, whatever the tokenizer's files say.</summary>
    /// <exception cref="InferenceException">No inputs, pairs that do not fit them, or a length that leaves no room for a token.</exception>
    public Task<TokenizeResult> RunAsync(Model model, TokenizeRequest request, RequestContext context)
    {
        if (request.Inputs.Count == 0)
        {
            throw InferenceException.Unprocessable(Inputs, $"{Inputs} is empty: at least 1 text is needed.");
        }

        if (request.Pairs is { } pairs && pairs.Count != request.Inputs.Count)
        {
            throw InferenceException.Unprocessable(Pairs, $"{Pairs} has {pairs.Count} texts and {Inputs} {request.Inputs.Count}: both must have the same number.");
        }

        var overflow = request.MaxLength is not null || request.Stride is not null;
        var pieces = 0L;
        var items = new TokenizedItem[request.Inputs.Count];
        var errors = new List<ArgumentError>();
        for (var i = 0; i < items.Length && errors.Count < InferenceException.MaxErrors; i++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            var (text, pair) = (request.Inputs[i], request.Pairs?[i]);
            TextInput.RequireLength(model, context, Inputs[i], text);
            TextInput.RequireLength(model, context, Pairs[i], pair);
            context.AddCharacters(text.Length + (pair?.Length ?? 0));
            var truncation = TruncationOf(model, request, pair is not null) is { } cut ? cut with { KeepsRest = overflow } : null;
            var start = Stopwatch.GetTimestamp();
            TokenEncoding encoding;
            try
            {
                encoding = model.Tokenizer.Encode(text, pair, request.AddSpecialTokens, truncation, context.Work);
            }
            catch (InferenceException e) when (e is { Code: ErrorCode.Unprocessable, Argument: null, Limit: null })
            {
                errors.Add(new ArgumentError(Inputs[i], $"{Inputs[i]} cannot be tokenised: {e.Text}")); // the tokenizer knows a text, not which
                continue;
            }

            context.AddTokenize(Stopwatch.GetElapsedTime(start));
            context.AddTokens(encoding.Length);
            pieces += encoding.Overflowing.Sum(piece => (long)piece.Length);
            if (pieces > context.MaxTokens)
            {
                throw new InferenceException(
                    ErrorCode.TooLarge,
                    $"What is cut off has more than {context.MaxTokens} tokens as overflow pieces, the most of one request. Raise {MaxLength}, lower {Stride}, or send fewer texts.")
                {
                    Limit = nameof(context.MaxTokens),
                };
            }

            var (textOffsets, pairOffsets) = (new TextOffsets(text), pair is null ? null : new TextOffsets(pair));
            items[i] = ItemOf(encoding, textOffsets, pairOffsets) with
            {
                Overflow = overflow && encoding.Overflowing.Count > 0 ? [.. encoding.Overflowing.Select(piece => ItemOf(piece, textOffsets, pairOffsets))] : null,
            };
        }

        return errors.Count == 0 ? Task.FromResult(new TokenizeResult(items)) : throw InferenceException.Unprocessable(errors);
    }

    private static Truncation? TruncationOf(Model model, TokenizeRequest request, bool pair)
    {
        if (!request.Truncate && request.MaxLength is null)
        {
            return request.Stride is null
                ? null
                : throw InferenceException.Unprocessable(Stride, $"{Stride} is for truncation: set {Truncate} to true or give {MaxLength}, or leave {Stride} out.");
        }

        var maxLength = request.MaxLength ?? model.MaxTokens;
        var added = request.AddSpecialTokens ? model.Tokenizer.SpecialTokensToAdd(pair) : 0;
        if (maxLength <= added)
        {
            throw InferenceException.Unprocessable(
                MaxLength,
                $"{MaxLength} is {maxLength}; the smallest value here is {added + 1}, since the tokenizer adds {added} special tokens.");
        }

        var stride = request.Stride ?? 0;
        if (stride < 0 || stride >= maxLength - added)
        {
            throw InferenceException.Unprocessable(
                Stride,
                $"{Stride} is {stride}; it goes from 0 to {maxLength - added - 1} (below {MaxLength} less the {added} special tokens). Lower it or raise {MaxLength}.");
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
