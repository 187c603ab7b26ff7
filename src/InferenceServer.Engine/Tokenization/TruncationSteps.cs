using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization;

/// <summary>Truncation of one sequence or two, as the reference's <c>truncate_encodings</c>.</summary>
internal static class TruncationSteps
{
    /// <summary>Most tokens that all pieces of a text hold together: some 100 MB.</summary>
    private const long MostPieceTokens = 4_000_000;

    /// <summary>Cuts to <paramref name="maxLength"/> tokens together (special tokens are counted elsewhere).</summary>
    public static void Cut(ref EncodingBuilder first, ref EncodingBuilder? second, int maxLength, Truncation truncation)
    {
        if (maxLength == 0)
        {
            first = first.Truncate(0, truncation.Stride, truncation.Direction);
            second = second?.Truncate(0, truncation.Stride, truncation.Direction);
            return;
        }

        var total = first.Length + (second?.Length ?? 0);
        if (total <= maxLength)
        {
            return;
        }

        var remove = total - maxLength;
        switch (truncation.Strategy)
        {
            case TruncationStrategy.LongestFirst when second is not null:
                // A closed form: the shorter side gives way only when both are longer than half.
                var shorter = Math.Min(first.Length, second.Length);
                var longer = shorter > maxLength ? shorter : Math.Max(shorter, maxLength - shorter);
                if (shorter + longer > maxLength)
                {
                    shorter = maxLength / 2;
                    longer = shorter + (maxLength % 2);
                }

                var swap = first.Length > second.Length;
                first = Truncate(first, swap ? longer : shorter, truncation);
                second = Truncate(second, swap ? shorter : longer, truncation);
                Bound((first.Overflowing.Count + 1L) * (second.Overflowing.Count + 1), maxLength, truncation);
                break;
            case TruncationStrategy.OnlySecond:
                if (second is null)
                {
                    throw new InferenceException(ErrorCode.Unprocessable, $"only the second text is to be cut and there is none; give a pair.");
                }

                second = Side(second, remove, truncation);
                break;
            default:
                first = truncation.Strategy == TruncationStrategy.OnlyFirst
                    ? Side(first, remove, truncation)
                    : Truncate(first, maxLength, truncation);
                break;
        }
    }

    private static EncodingBuilder Side(EncodingBuilder side, int remove, Truncation truncation) => side.Length > remove
        ? Truncate(side, side.Length - remove, truncation)
        : throw InferenceException.Unprocessable(
            Argument.Of(nameof(Truncation.MaxLength)),
            $"The sequence to cut has {side.Length} tokens, but {remove} would have to go; raise {Argument.Of(nameof(Truncation.MaxLength))}.");

    private static EncodingBuilder Truncate(EncodingBuilder draft, int maxLength, Truncation truncation)
    {
        if (maxLength < draft.Length && maxLength > 0 && truncation.Stride >= maxLength)
        {
            throw InferenceException.Unprocessable(
                Argument.Of(nameof(Truncation.Stride)),
                $"{Argument.Of(nameof(Truncation.Stride))} is {truncation.Stride}; it must be less than the {maxLength} tokens that are left of the sequence; make it smaller.");
        }

        if (maxLength > 0 && maxLength < draft.Length)
        {
            if (!truncation.KeepsRest)
            {
                return draft.Part(truncation.Direction == Tokenization.Side.Right ? 0 : draft.Length - maxLength, maxLength);
            }

            Bound(1 + ((draft.Length - maxLength) / (maxLength - truncation.Stride)), maxLength, truncation);
        }

        return draft.Truncate(maxLength, truncation.Stride, truncation.Direction);
    }

    /// <summary>Refuses pieces that would outgrow the text by far, before they are made.</summary>
    private static void Bound(long pieces, int length, Truncation truncation)
    {
        if (pieces * length > MostPieceTokens)
        {
            throw new InferenceException(
                ErrorCode.TooLarge,
                $"With {Argument.Of(nameof(Truncation.MaxLength))} {truncation.MaxLength} and {Argument.Of(nameof(Truncation.Stride))} {truncation.Stride} the text becomes {pieces} pieces of {length} tokens; at most {MostPieceTokens} tokens are made of one text. Raise the first, lower the second, or send a shorter text.");
        }
    }
}
