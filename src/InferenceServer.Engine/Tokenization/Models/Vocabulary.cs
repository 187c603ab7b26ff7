using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tokenization.Models;

/// <summary>Tokens and their ids. Ids may have gaps.</summary>
internal sealed class Vocabulary
{
    private readonly Dictionary<string, int> ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> bySpan;
    private readonly string?[] tokens;
    private readonly Dictionary<int, string>? sparse;

    /// <summary>A vocabulary of tokens by id; of tokens with the same id the last one is the id's token.</summary>
    public Vocabulary(IEnumerable<KeyValuePair<string, int>> entries, int capacity = 0)
    {
        ids = new Dictionary<string, int>(capacity, StringComparer.Ordinal);
        var max = -1;
        foreach (var (token, id) in entries)
        {
            ids[token] = id;
            max = Math.Max(max, id);
        }

        Count = ids.Count;
        bySpan = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        if (max < (4L * ids.Count) + 65536)
        {
            tokens = new string?[max + 1];
            foreach (var (token, id) in ids)
            {
                Share(tokens[id], token, id);
                tokens[id] = token;
            }
        }
        else
        {
            tokens = [];
            sparse = new Dictionary<int, string>(ids.Count);
            foreach (var (token, id) in ids)
            {
                Share(sparse.GetValueOrDefault(id), token, id);
                sparse[id] = token;
            }
        }
    }

    /// <summary>A vocabulary of a list: the id of a token is its place. Of equal tokens the last one has the id, but each place keeps its text and counts.</summary>
    public Vocabulary(IReadOnlyList<string> list)
    {
        ids = new Dictionary<string, int>(list.Count, StringComparer.Ordinal);
        for (var i = 0; i < list.Count; i++)
        {
            ids[list[i]] = i;
        }

        bySpan = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        tokens = [.. list];
        Count = list.Count;
    }

    /// <summary>Number of tokens.</summary>
    public int Count { get; }

    /// <summary>Number of tokens whose id another token has as well, and the first such pair.</summary>
    public (int Count, string First, string Second, int Id) Shared { get; private set; }

    /// <summary>One more than the largest id; 0 when the ids are spread too thin for tables by id.</summary>
    public int TableSize => tokens.Length;

    /// <summary>The tokens and their ids.</summary>
    public IReadOnlyDictionary<string, int> Entries => ids;

    /// <summary>Reads a JSON object of tokens and ids.</summary>
    /// <exception cref="ModelLoadException">It is something else.</exception>
    public static Vocabulary Read(JsonPart part) => new(Members(part));

    /// <summary>The id of a token, or -1.</summary>
    public int Id(ReadOnlySpan<char> token) => bySpan.TryGetValue(token, out var id) ? id : -1;

    /// <summary>The token of an id, or null.</summary>
    public string? Token(int id) =>
        (uint)id < (uint)tokens.Length ? tokens[id] : sparse is not null && sparse.TryGetValue(id, out var token) ? token : null;

    private void Share(string? before, string token, int id)
    {
        if (before is not null)
        {
            Shared = Shared.Count == 0 ? (1, before, token, id) : Shared with { Count = Shared.Count + 1 };
        }
    }

    private static IEnumerable<KeyValuePair<string, int>> Members(JsonPart part)
    {
        foreach (var member in part.AsMembers())
        {
            string name;
            try
            {
                name = member.Name;
            }
            catch (InvalidOperationException e)
            {
                throw new ModelLoadException($"{part.File}: {part.Path}: holds a token with half a character (a lone surrogate).", e);
            }

            if (member.Value.ValueKind != System.Text.Json.JsonValueKind.Number || !member.Value.TryGetInt32(out var id) || id < 0)
            {
                throw part.Of(member).Error("the id of a token must be a whole number from 0 to 2147483647.");
            }

            yield return new(name, id);
        }
    }
}
