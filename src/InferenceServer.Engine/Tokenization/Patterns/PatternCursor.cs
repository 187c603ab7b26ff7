using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>A place in the text of a regular expression, and the errors that name it.</summary>
internal sealed class PatternCursor(string text)
{
    private const int MaxDepth = 60;
    private int depth;

    /// <summary>The whole expression.</summary>
    public string Text => text;

    /// <summary>The place, in UTF-16 units.</summary>
    public int At { get; set; }

    /// <summary>False at the end.</summary>
    public bool More => At < text.Length;

    /// <summary>The unit that lies so many units ahead of the place (0: at it).</summary>
    public char this[int ahead] => text[At + ahead];

    /// <summary>True when there is a unit so many units ahead.</summary>
    public bool Has(int ahead) => At + ahead < text.Length;

    /// <summary>The code point at the place, which moves behind it.</summary>
    public int Next()
    {
        var at = At;
        var c = CodePoints.Next(text, ref at);
        At = at;
        return c;
    }

    /// <summary>Moves behind <paramref name="expected"/> when it stands here.</summary>
    public bool Take(string expected)
    {
        if (string.CompareOrdinal(text, At, expected, 0, expected.Length) != 0)
        {
            return false;
        }

        At += expected.Length;
        return true;
    }

    /// <summary>What stands before the next <paramref name="close"/>; the place moves behind that.</summary>
    public string Until(char close)
    {
        var end = text.IndexOf(close, At);
        if (end < 0)
        {
            throw Bad($"no '{close}'");
        }

        var content = text[At..end];
        At = end + 1;
        return content;
    }

    /// <summary>Moves over one character of white space or a comment up to the end of its line; false when neither stands here.</summary>
    public bool SkipBlank()
    {
        if (char.IsWhiteSpace(this[0]))
        {
            At++;
            return true;
        }

        if (this[0] != '#')
        {
            return false;
        }

        while (More && this[0] != '\n')
        {
            At++;
        }

        return true;
    }

    /// <summary>Goes one level deeper into groups and brackets together.</summary>
    /// <param name="what">What is nested, for the error.</param>
    public void Enter(string what)
    {
        if (++depth > MaxDepth)
        {
            throw Bad($"{what} nested deeper than {MaxDepth}");
        }
    }

    /// <summary>Comes back from a level.</summary>
    public void Leave() => depth--;

    /// <summary>The error for what is no regular expression.</summary>
    public FormatException Bad(string what) => new($"is no regular expression: {what} at character {At + 1}.");

    /// <summary>The error for what Oniguruma has and this engine lacks.</summary>
    public FormatException Unsupported(string what) => new($"uses {what} at character {At + 1}, which is not supported.");
}
