namespace InferenceServer.Engine.Execution;

/// <summary>Whether two computations of the same numbers agree.</summary>
internal static class Closeness
{
    /// <summary>True when no number differs by more than <paramref name="tolerance"/>, relative to the largest finite one where that is above 1; infinities agree with themselves.</summary>
    public static bool AreClose(ReadOnlySpan<float> one, ReadOnlySpan<float> other, float tolerance)
    {
        var largest = 1f;
        foreach (var value in one)
        {
            largest = float.IsFinite(value) ? Math.Max(largest, Math.Abs(value)) : largest;
        }

        for (var i = 0; i < one.Length && one.Length == other.Length; i++)
        {
            if (!one[i].Equals(other[i]) && !(Math.Abs(one[i] - other[i]) <= tolerance * largest))
            {
                return false;
            }
        }

        return one.Length == other.Length;
    }
}
