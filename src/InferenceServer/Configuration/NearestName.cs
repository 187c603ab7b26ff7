namespace InferenceServer.Configuration;

/// <summary>Finds what someone meant: the known name with the fewest edits, when it is near enough to be a slip.</summary>
internal static class NearestName
{
    /// <summary>The nearest of <paramref name="known"/>, or null when none is near.</summary>
    public static string? Find(string name, IEnumerable<string> known)
    {
        string? best = null;
        var fewest = int.MaxValue;
        var wanted = Normal(name);
        foreach (var candidate in known)
        {
            var edits = Edits(wanted, Normal(candidate));
            if (edits < fewest)
            {
                (best, fewest) = (candidate, edits);
            }
        }

        return best is not null && fewest <= Math.Max(2, Math.Min(wanted.Length, best.Length) / 3) && fewest < best.Length ? best : null;
    }

    /// <summary>A sentence that names the nearest, then all: for the end of an error message.</summary>
    public static string Suggest(string name, IReadOnlyCollection<string> known, string noun) =>
        (Find(name, known) is { } near ? $"Did you mean '{near}'? " : "") + $"Known {noun}: {string.Join(", ", known)}.";

    private static string Normal(string name) => name.Length > 64 ? name[..64].ToLowerInvariant() : name.ToLowerInvariant();

    /// <summary>Edit distance with transpositions of neighbours (optimal string alignment).</summary>
    private static int Edits(string a, string b)
    {
        var d = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++)
        {
            d[i, 0] = i;
        }

        for (var j = 0; j <= b.Length; j++)
        {
            d[0, j] = j;
        }

        for (var i = 1; i <= a.Length; i++)
        {
            for (var j = 1; j <= b.Length; j++)
            {
                var cost = a[i - 1] == b[j - 1] ? 0 : 1;
                d[i, j] = Math.Min(Math.Min(d[i - 1, j] + 1, d[i, j - 1] + 1), d[i - 1, j - 1] + cost);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
                }
            }
        }

        return d[a.Length, b.Length];
    }
}
