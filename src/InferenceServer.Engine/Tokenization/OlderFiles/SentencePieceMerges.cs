namespace InferenceServer.Engine.Tokenization.OlderFiles;

/// <summary>The merges that a SentencePiece BPE model implies: every way to cut a piece into two pieces, best score first.</summary>
internal static class SentencePieceMerges
{
    /// <summary>The merges in their order, as transformers' <c>generate_merges</c> makes them.</summary>
    public static IEnumerable<(string Left, string Right)> Of(IEnumerable<(string Piece, float Score)> pieces, IReadOnlyDictionary<string, int> ids)
    {
        var merges = new List<(string Left, string Right, float Score, int LeftLength, int RightLength)>();
        foreach (var (piece, score) in pieces)
        {
            var local = new List<(string Left, string Right, int LeftId, int RightId)>();
            for (var i = 1; i < piece.Length; i++)
            {
                if (char.IsLowSurrogate(piece[i]))
                {
                    continue;
                }

                if (ids.TryGetValue(piece[..i], out var left) && ids.TryGetValue(piece[i..], out var right))
                {
                    local.Add((piece[..i], piece[i..], left, right));
                }
            }

            merges.AddRange(local.OrderBy(static m => m.LeftId).ThenBy(static m => m.RightId)
                .Select(m => (m.Left, m.Right, score, Characters(m.Left), Characters(m.Right))));
        }

        return merges.OrderByDescending(static m => m.Score).ThenByDescending(static m => m.LeftLength).ThenByDescending(static m => m.RightLength)
            .Select(static m => (m.Left, m.Right));
    }

    private static int Characters(string text) => text.Length - text.Count(char.IsLowSurrogate);
}
