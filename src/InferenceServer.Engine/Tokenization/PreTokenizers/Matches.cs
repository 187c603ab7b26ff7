using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.PreTokenizers;

/// <summary>Finders of single characters.</summary>
internal static class Matches
{
    /// <summary>Every character of a class is a match.</summary>
    public static MatchFinder OfClass(Func<int, bool> contains) => (piece, matches) =>
    {
        for (var i = 0; i < piece.Length;)
        {
            var from = i;
            if (contains(CodePoints.Next(piece, ref i)))
            {
                matches.Add(from, i);
            }
        }
    };
}
