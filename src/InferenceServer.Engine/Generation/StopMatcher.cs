namespace InferenceServer.Engine.Generation;

/// <summary>
/// Looks for stop texts in a text that comes piece by piece, wherever the pieces are cut: what may still become a stop text is held back, exactly that, and nothing of one
/// is ever given. Not thread-safe.
/// </summary>
/// <param name="stops">The stop texts; none is empty.</param>
internal sealed class StopMatcher(IReadOnlyList<string> stops)
{
    private string held = "";
    private bool stopped;

    /// <summary>Takes a piece; gives the text that became certain, and whether a stop text has come (it begins where that text ends).</summary>
    public (string Certain, bool Stopped) Push(string piece)
    {
        if (stopped)
        {
            return ("", true);
        }

        held += piece;
        var at = stops.Select(stop => held.IndexOf(stop, StringComparison.Ordinal)).Where(i => i >= 0).DefaultIfEmpty(-1).Min();
        if (at >= 0)
        {
            stopped = true;
            return (Give(at, keep: false), true);
        }

        var longest = stops.Max(stop => Beginning(held, stop));
        return (Give(held.Length - longest, keep: true), false);
    }

    /// <summary>What was held back, at the end of the text.</summary>
    public string Flush() => Give(held.Length, keep: false);

    private string Give(int length, bool keep)
    {
        var given = held[..length];
        held = keep ? held[length..] : "";
        return given;
    }

    // Length of the longest end of a text that a stop text begins with.
    private static int Beginning(string text, string stop)
    {
        for (var length = Math.Min(text.Length, stop.Length - 1); length > 0; length--)
        {
            if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
            {
                return length;
            }
        }

        return 0;
    }
}
