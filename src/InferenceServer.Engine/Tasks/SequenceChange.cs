using InferenceServer.Engine.Diagnostics;
using InferenceServer.Engine.Execution;
using InferenceServer.Engine.Tokenization;

namespace InferenceServer.Engine.Tasks;

/// <summary>Tokens of a sequence that are taken out or masked before it runs. Offsets of what is left still point into the text.</summary>
/// <param name="Remove">Positions of tokens that are taken out.</param>
/// <param name="Mask">Positions where the mask token stands instead.</param>
internal sealed record SequenceChange(IReadOnlyCollection<int> Remove, IReadOnlyCollection<int> Mask)
{
    /// <summary>Positions of a sequence of so many tokens that are left.</summary>
    public int[] Left(int length) => [.. Enumerable.Range(0, length).Where(position => !Remove.Contains(position))];

    /// <summary>The changed input.</summary>
    /// <param name="tokenizer">Has the mask token where <see cref="Mask"/> needs one.</param>
    /// <param name="input">The input; the positions are its own.</param>
    public PreparedInput Apply(Tokenizer tokenizer, PreparedInput input)
    {
        var left = Left(input.Length);
        var (encoding, mask) = (input.Encoding, tokenizer.Named.Mask);
        int[] ids = Array.ConvertAll(left, position => Mask.Contains(position) ? mask!.Id : encoding.Ids[position]);
        var changed = new TokenEncoding
        {
            Ids = ids,
            TypeIds = Array.ConvertAll(left, position => encoding.TypeIds[position]),
            Offsets = Array.ConvertAll(left, position => encoding.Offsets[position]),
            SpecialTokensMask = Array.ConvertAll(left, position => encoding.SpecialTokensMask[position]),
            WordIds = Array.ConvertAll(left, position => encoding.WordIds[position]),
            SequenceIds = Array.ConvertAll(left, position => encoding.SequenceIds[position]),
            AttentionMask = Array.ConvertAll(left, position => encoding.AttentionMask[position]),
            MakeTokens = () => Array.ConvertAll(left, position => Mask.Contains(position) ? mask!.Text : encoding.Tokens[position]),
        };
        return input with { Encoding = changed, Graph = new GraphInput(ids, input.Graph.TypeIds is null ? null : changed.TypeIds) };
    }
}
