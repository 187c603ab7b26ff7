using System.Buffers;
using System.Text;
using InferenceServer.Engine.Tokenization.Models;
using InferenceServer.Engine.Tokenization.Normalizers;
using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization;

/// <summary>The added tokens: their ids, and where they stand in a text (the leftmost, then the longest).</summary>
internal sealed class AddedVocabulary
{
    private readonly Dictionary<string, int> ids = new(StringComparer.Ordinal);
    private readonly Dictionary<int, AddedToken> tokens = [];
    private readonly HashSet<string> special = new(StringComparer.Ordinal);
    private readonly Finder plain;
    private readonly Finder normalized;

    /// <summary>Gives every token its id and prepares the search.</summary>
    /// <param name="listed">The tokens of tokenizer.json.</param>
    /// <param name="later">Tokens that are added to those afterwards.</param>
    /// <param name="model">The model, whose tokens keep their ids.</param>
    /// <param name="normalizer">Normalises the tokens that are found in normalised text.</param>
    public AddedVocabulary(IReadOnlyList<AddedToken> listed, IReadOnlyList<AddedToken> later, TokenizerModel model, Normalizer? normalizer)
    {
        List<AddedToken> specials = [], others = [];
        var next = model.Vocabulary.Count;
        Add(listed);
        Add(later);

        var plainTokens = new List<(string, int, AddedToken)>();
        var normalizedTokens = new List<(string, int, AddedToken)>();
        // Of tokens that read the same once they are normalised, a special one comes first, then the first of the list.
        foreach (var entry in specials.Concat(others))
        {
            var id = ids[entry.Content];
            if (!entry.Normalized)
            {
                plainTokens.Add((entry.Content, id, tokens[id]));
                continue;
            }

            var text = new NormalizedString(entry.Content);
            normalizer?.Normalize(text);
            normalizedTokens.Add((text.ToString(), id, tokens[id]));
        }

        plain = new Finder(plainTokens);
        normalized = new Finder(normalizedTokens);
        SpecialIds = tokens.Where(t => special.Contains(t.Value.Content)).Select(static t => t.Key).ToHashSet();
        Extra = ids.Keys.Count(k => model.Vocabulary.Id(k) < 0);

        // As the reference does it: a token that is there with other flags is searched for with both, and the later flags say how.
        void Add(IReadOnlyList<AddedToken> batch)
        {
            foreach (var token in batch)
            {
                if (token.Special && token.Content.Length > 0 && special.Add(token.Content))
                {
                    specials.Add(token);
                }
            }

            foreach (var token in batch)
            {
                if (token.Content.Length == 0 || (ids.TryGetValue(token.Content, out var id) && tokens[id] == token))
                {
                    continue;
                }

                if (!ids.TryGetValue(token.Content, out id))
                {
                    id = model.Vocabulary.Id(token.Content) is >= 0 and var known ? known : next;
                    ids[token.Content] = id;
                    next = Math.Max(next, id + 1);
                }

                tokens[id] = token;
                if (!special.Contains(token.Content))
                {
                    others.Add(token);
                }
            }
        }
    }

    /// <summary>Ids of special tokens.</summary>
    public IReadOnlySet<int> SpecialIds { get; }

    /// <summary>Number of tokens that the model does not know.</summary>
    public int Extra { get; }

    /// <summary>The id of an added token, or null.</summary>
    public int? Id(string token) => ids.TryGetValue(token, out var id) ? id : null;

    /// <summary>The text of an added token, or null.</summary>
    public string? Token(int id) => tokens.TryGetValue(id, out var token) ? token.Content : null;

    /// <summary>Whether a text is that of a special token.</summary>
    public bool IsSpecial(string token) => special.Contains(token);

    /// <summary>Cuts the text at the added tokens, and normalises what lies between them.</summary>
    public void Extract(ReadOnlySpan<char> text, Normalizer? normalizer, PreTokenizedString pieces)
    {
        var whole = pieces.NewText();
        if (normalizer is null)
        {
            whole.Reset(text);
            Cut(whole, 0, whole.Length, plain, pieces, normalized);
            return;
        }

        var at = 0;
        var search = new Search();
        while (plain.Next(text, ref search, at, out var start, out var end, out var id))
        {
            Section(text, at, start, normalizer, pieces, ref whole);
            var token = pieces.NewText();
            token.Reset(text[start..end], start);
            pieces.Add(new Piece(token, 0, token.Length, id, false));
            at = end;
        }

        Section(text, at, text.Length, normalizer, pieces, ref whole);
    }

    // Normalises a stretch between added tokens and cuts it at those that are matched in normalised text.
    private void Section(ReadOnlySpan<char> text, int start, int end, Normalizer normalizer, PreTokenizedString pieces, ref NormalizedString? spare)
    {
        if (end <= start)
        {
            return;
        }

        var section = spare ?? pieces.NewText();
        spare = null;
        section.Reset(text[start..end], start);
        normalizer.Normalize(section);
        section.Rebase();
        Cut(section, 0, section.Length, normalized, pieces, null);
    }

    private static void Cut(NormalizedString text, int from, int to, Finder finder, PreTokenizedString pieces, Finder? then)
    {
        var span = text.Text[from..to];
        var at = 0;
        var search = new Search();
        while (finder.Next(span, ref search, at, out var start, out var end, out var id))
        {
            Between(at, start);
            pieces.Add(new Piece(text, from + start, end - start, id, false));
            at = end;
        }

        Between(at, span.Length);

        void Between(int start, int end)
        {
            if (end <= start)
            {
                return;
            }

            if (then is null)
            {
                pieces.Add(new Piece(text, from + start, end - start, -1, false));
            }
            else
            {
                Cut(text, from + start, from + end, then, pieces, null);
            }
        }
    }

    // Where a search goes on, and where it may not find the empty text: directly behind the match before.
    private record struct Search(int At = 0, int Barred = -1, int[]? Found = null)
    {
        public Search()
            : this(0)
        {
        }
    }

    /// <summary>Finds tokens in a text, front to back.</summary>
    private sealed class Finder
    {
        private const int MostTried = 64;

        private readonly CharTrie trie;
        private readonly AddedToken[] tokens;
        private readonly int[] ids;
        private readonly string[] texts;
        private readonly LongestMatches? longest; // where a token is so long that trying it at every place would take too long
        private readonly SearchValues<char> first;
        private readonly int empty; // the first token of which normalisation left nothing: found between all characters; or -1

        public Finder(List<(string Text, int Id, AddedToken Token)> entries)
        {
            tokens = entries.Select(static e => e.Token).ToArray();
            ids = entries.Select(static e => e.Id).ToArray();
            texts = entries.Select(static e => e.Text).ToArray();
            trie = new CharTrie(entries.Select(static (e, i) => KeyValuePair.Create(e.Text, i)));
            empty = entries.FindIndex(static e => e.Text.Length == 0);
            first = SearchValues.Create(entries.Where(static e => e.Text.Length > 0).Select(static e => e.Text[0]).Distinct().ToArray());
            longest = texts.Any(static t => t.Length > MostTried) ? new LongestMatches(trie) : null;
        }

        /// <summary>
        /// The next match. <paramref name="search"/>: where the search goes on (behind the match itself: spaces that rstrip swallows
        /// are searched again, as in the reference); <paramref name="taken"/>: end of the match before, its spaces included.
        /// </summary>
        public bool Next(ReadOnlySpan<char> text, ref Search search, int taken, out int start, out int end, out int id)
        {
            start = end = id = 0;
            if (tokens.Length == 0)
            {
                return false;
            }

            while (search.At < text.Length || (empty >= 0 && search.At == text.Length && text.Length > 0))
            {
                start = search.At;
                if (empty < 0)
                {
                    var skip = text[start..].IndexOfAny(first);
                    if (skip < 0)
                    {
                        break;
                    }

                    start += skip;
                }

                var barred = search.Barred;
                var found = longest is null ? null : search.Found ?? longest.Of(text);
                var index = found is null ? Longest(text, start) : start < text.Length ? found[start] : -1;
                search = new Search(start + (start + 1 < text.Length && char.IsSurrogatePair(text[start], text[start + 1]) ? 2 : 1), -1, found);
                if (index >= 0)
                {
                    end = start + texts[index].Length;
                    search = new Search(end, end, found);
                }
                else if (empty >= 0 && start != barred)
                {
                    (index, end) = (empty, start);
                }
                else
                {
                    continue;
                }

                var token = tokens[index];
                if (token.SingleWord && (EndsWithWord(text[..start]) || StartsWithWord(text[end..])))
                {
                    continue;
                }

                if (token.LStrip)
                {
                    // Inside what the match before swallowed nothing is left to take.
                    start = Math.Max(start, taken);
                    end = Math.Max(end, start);
                    while (start > taken && char.IsWhiteSpace(text[start - 1]))
                    {
                        start--;
                    }
                }

                if (token.RStrip)
                {
                    while (end < text.Length && char.IsWhiteSpace(text[end]))
                    {
                        end++;
                    }
                }

                id = ids[index];
                return true;
            }

            search = new Search(text.Length + 1);
            return false;
        }

        private int Longest(ReadOnlySpan<char> text, int start)
        {
            var index = -1;
            var node = CharTrie.Root;
            for (var i = start; i < text.Length; i++)
            {
                node = trie.Child(node, text[i]);
                if (node < 0)
                {
                    break;
                }

                index = trie.Id(node) >= 0 ? trie.Id(node) : index;
            }

            return index;
        }

        private static bool EndsWithWord(ReadOnlySpan<char> text) =>
            text.Length > 0 && Rune.DecodeLastFromUtf16(text, out var rune, out _) == OperationStatus.Done && CharacterClasses.IsWord(rune.Value);

        private static bool StartsWithWord(ReadOnlySpan<char> text) =>
            text.Length > 0 && Rune.DecodeFromUtf16(text, out var rune, out _) == OperationStatus.Done && CharacterClasses.IsWord(rune.Value);
    }
}
