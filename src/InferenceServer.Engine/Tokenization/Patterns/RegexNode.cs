using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>How a repetition gives back.</summary>
internal enum Greed
{
    /// <summary>As many as possible, giving back one by one.</summary>
    Greedy,

    /// <summary>As few as possible, taking one by one.</summary>
    Lazy,

    /// <summary>As many as possible, giving nothing back.</summary>
    Possessive,
}

/// <summary>A position that must hold.</summary>
internal enum Anchor
{
    /// <summary><c>^</c></summary>
    LineStart,

    /// <summary><c>$</c></summary>
    LineEnd,

    /// <summary><c>\A</c></summary>
    TextStart,

    /// <summary><c>\z</c></summary>
    TextEnd,

    /// <summary><c>\Z</c></summary>
    TextEndOrLastNewline,

    /// <summary><c>\b</c></summary>
    WordBoundary,

    /// <summary><c>\B</c></summary>
    NotWordBoundary,

    /// <summary><c>\G</c></summary>
    SearchStart,
}

/// <summary>A node of a parsed regular expression.</summary>
internal abstract record RegexNode
{
    /// <summary>One character of a set; <paramref name="Folded"/>: the one that the pattern names, folded, where case does not count, else -1.</summary>
    public sealed record OneOf(CodePointSet Set, int Folded = -1) : RegexNode;

    /// <summary>One after the other.</summary>
    public sealed record Sequence(IReadOnlyList<RegexNode> Nodes) : RegexNode;

    /// <summary>The first that fits.</summary>
    public sealed record Alternation(IReadOnlyList<RegexNode> Nodes) : RegexNode;

    /// <summary>From <c>Min</c> to <c>Max</c> times (-1: without limit).</summary>
    public sealed record Repeat(RegexNode Body, int Min, int Max, Greed Greed) : RegexNode;

    /// <summary>Remembers what it matched.</summary>
    public sealed record Capture(RegexNode Body, int Number) : RegexNode;

    /// <summary>Matches once and for all.</summary>
    public sealed record Atomic(RegexNode Body) : RegexNode;

    /// <summary>Looks ahead or behind without moving.</summary>
    public sealed record Look(RegexNode Body, bool Behind, bool Negative) : RegexNode;

    /// <summary>A position.</summary>
    public sealed record At(Anchor Anchor) : RegexNode;

    /// <summary>What one of the groups matched, again.</summary>
    public sealed record Back(int Number, bool IgnoreCase) : RegexNode;

    /// <summary>Nothing at all: the empty match.</summary>
    public static RegexNode Empty { get; } = new Sequence([]);

    /// <summary>The lengths in characters that the node can match, or null when there is no such short list.</summary>
    public IReadOnlyCollection<int>? Lengths()
    {
        const int Most = 64;
        switch (this)
        {
            case OneOf:
                return [1];
            case Sequence sequence:
                HashSet<int> sums = [0];
                foreach (var node in sequence.Nodes)
                {
                    if (node.Lengths() is not { } lengths)
                    {
                        return null;
                    }

                    sums = [.. sums.SelectMany(sum => lengths.Select(length => sum + length))];
                    if (sums.Count > Most)
                    {
                        return null;
                    }
                }

                return sums;
            case Alternation alternation:
                var all = alternation.Nodes.Select(static node => node.Lengths()).ToList();
                return all.Contains(null) ? null : all.SelectMany(static lengths => lengths!).ToHashSet();
            case Repeat { Max: >= 0 and <= Most } repeat when repeat.Body.Lengths() is { Count: 1 } once:
                return [.. Enumerable.Range(repeat.Min, repeat.Max - repeat.Min + 1).Select(times => times * once.First())];
            case Capture capture:
                return capture.Body.Lengths();
            case Atomic atomic:
                return atomic.Body.Lengths();
            case Look or At:
                return [0];
            default:
                return null;
        }
    }

    /// <summary>What a match can begin with; null when it can be empty.</summary>
    public CodePointRanges? First()
    {
        switch (this)
        {
            case OneOf one:
                return one.Set.Ranges;
            case Sequence sequence:
                foreach (var node in sequence.Nodes)
                {
                    if (node is not (Look or At))
                    {
                        // What comes before was no more than a condition.
                        return node.First();
                    }
                }

                return null;
            case Alternation alternation:
                var all = CodePointRanges.Empty;
                foreach (var node in alternation.Nodes)
                {
                    if (node.First() is not { } first)
                    {
                        return null;
                    }

                    all = all.Union(first);
                }

                return all;
            case Repeat { Min: > 0 } repeat:
                return repeat.Body.First();
            case Capture capture:
                return capture.Body.First();
            case Atomic atomic:
                return atomic.Body.First();
            default:
                return null;
        }
    }
}
