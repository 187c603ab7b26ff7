using System.Globalization;
using System.Text;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>Kinds of tokens.</summary>
internal enum TokenKind
{
    /// <summary>Text outside of tags.</summary>
    Text,

    /// <summary><c>{{</c>.</summary>
    PrintBegin,

    /// <summary><c>}}</c>.</summary>
    PrintEnd,

    /// <summary><c>{%</c>.</summary>
    BlockBegin,

    /// <summary><c>%}</c>.</summary>
    BlockEnd,

    /// <summary>A name or a keyword.</summary>
    Name,

    /// <summary>A string, its escapes resolved.</summary>
    String,

    /// <summary>A whole number.</summary>
    Integer,

    /// <summary>A number with a fraction or an exponent.</summary>
    Float,

    /// <summary>An operator or a bracket.</summary>
    Operator,

    /// <summary>The end.</summary>
    End,
}

/// <summary>A token with the line that it stands on, from 1.</summary>
internal readonly record struct Token(TokenKind Kind, string Text, int Line);

/// <summary>Splits a template into tokens, with <c>trim_blocks</c> and <c>lstrip_blocks</c> on and the last newline dropped, as transformers sets Jinja up.</summary>
internal sealed class TemplateLexer
{
    private static readonly string[] Operators = ["//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "|", ".", ",", ":", "(", ")", "[", "]", "{", "}"];

    private readonly string source;
    private readonly List<Token> tokens = [];
    private int at;
    private int line = 1;

    private TemplateLexer(string source) => this.source = source;

    /// <summary>The tokens of a template.</summary>
    /// <exception cref="ChatTemplateException">A tag has no end, or holds a character that no expression has.</exception>
    public static List<Token> Read(string source)
    {
        source = source.ReplaceLineEndings("\n");
        var lexer = new TemplateLexer(source.EndsWith('\n') ? source[..^1] : source);
        lexer.Read();
        return lexer.tokens;
    }

    private void Read()
    {
        var stripsNext = false; // what follows a tag with a minus at its end
        var trimsNewline = false; // what follows a block or a comment
        while (at < source.Length)
        {
            var open = NextTag();
            var end = open < 0 ? source.Length : open;
            var text = source[at..end];
            if (stripsNext)
            {
                text = text.TrimStart();
            }
            else if (trimsNewline && text.StartsWith('\n'))
            {
                text = text[1..];
            }

            (stripsNext, trimsNewline) = (false, false);
            if (open < 0)
            {
                Add(TokenKind.Text, text);
                break;
            }

            var kind = source[open + 1];
            var sign = open + 2 < source.Length ? source[open + 2] : ' ';
            text = sign == '-' ? text.TrimEnd() : kind != '{' && sign != '+' ? WithoutIndent(text, open) : text;
            if (text.Length > 0)
            {
                Add(TokenKind.Text, text);
            }

            line += source.AsSpan(at, open - at).Count('\n');
            at = open + 2 + (sign == '-' || (sign == '+' && kind != '{') ? 1 : 0);
            if (kind == '#')
            {
                var close = source.IndexOf("#}", at, StringComparison.Ordinal);
                if (close < 0)
                {
                    throw Wrong("a comment has no end");
                }

                line += source.AsSpan(at, close - at).Count('\n');
                (stripsNext, trimsNewline) = (source[close - 1] == '-', source[close - 1] != '+');
                at = close + 2;
                continue;
            }

            if (kind == '%' && Raw() is { } raw)
            {
                Add(TokenKind.Text, raw.Text);
                (stripsNext, trimsNewline) = (raw.Strips, raw.Trims);
                continue;
            }

            Add(kind == '{' ? TokenKind.PrintBegin : TokenKind.BlockBegin, "");
            var last = Expression(kind == '{' ? "}}" : "%}");
            Add(kind == '{' ? TokenKind.PrintEnd : TokenKind.BlockEnd, "");
            (stripsNext, trimsNewline) = (last == '-', kind != '{' && last != '+');
        }

        Add(TokenKind.End, "");
    }

    private int NextTag()
    {
        for (var i = at; (i = source.IndexOf('{', i)) >= 0 && i + 1 < source.Length; i++)
        {
            if (source[i + 1] is '{' or '%' or '#')
            {
                return i;
            }
        }

        return -1;
    }

    // Spaces between the beginning of the line and a block.
    private string WithoutIndent(string text, int open)
    {
        var begin = open;
        while (begin > 0 && source[begin - 1] is ' ' or '\t')
        {
            begin--;
        }

        return begin == 0 || source[begin - 1] == '\n' ? text[..Math.Max(0, text.Length - (open - begin))] : text;
    }

    private (string Text, bool Strips, bool Trims)? Raw()
    {
        if (!source.AsSpan(at).TrimStart().StartsWith("raw", StringComparison.Ordinal))
        {
            return null;
        }

        var match = System.Text.RegularExpressions.Regex.Match(source[at..], @"^\s*raw\s*([-+]?)%\}(.*?)\{%([-+]?)\s*endraw\s*([-+]?)%\}", System.Text.RegularExpressions.RegexOptions.Singleline | System.Text.RegularExpressions.RegexOptions.NonBacktracking);
        if (!match.Success)
        {
            return null;
        }

        var text = match.Groups[2].Value;
        text = match.Groups[1].Value == "-" ? text.TrimStart() : match.Groups[1].Value != "+" && text.StartsWith('\n') ? text[1..] : text;
        text = match.Groups[3].Value == "-" ? text.TrimEnd() : text;
        line += match.Value.Count(c => c == '\n');
        at += match.Length;
        return (text, match.Groups[4].Value == "-", match.Groups[4].Value != "+");
    }

    // The tokens of a tag; gives the sign before its end.
    private char Expression(string close)
    {
        var depth = 0;
        while (at < source.Length)
        {
            var c = source[at];
            if (char.IsWhiteSpace(c))
            {
                line += c == '\n' ? 1 : 0;
                at++;
                continue;
            }

            if (depth == 0)
            {
                if (string.CompareOrdinal(source, at, close, 0, 2) == 0)
                {
                    at += 2;
                    return ' ';
                }

                if (c is '-' or '+' && string.CompareOrdinal(source, at + 1, close, 0, 2) == 0)
                {
                    at += 3;
                    return c;
                }
            }

            if (char.IsLetter(c) || c == '_')
            {
                var begin = at;
                while (at < source.Length && (char.IsLetterOrDigit(source[at]) || source[at] == '_'))
                {
                    at++;
                }

                Add(TokenKind.Name, source[begin..at]);
            }
            else if (char.IsAsciiDigit(c))
            {
                Number();
            }
            else if (c is '\'' or '"')
            {
                Add(TokenKind.String, Text(c));
            }
            else
            {
                var op = Array.Find(Operators, o => string.CompareOrdinal(source, at, o, 0, o.Length) == 0) ?? throw Wrong($"'{c}' belongs to no expression");
                depth += op is "(" or "[" or "{" ? 1 : op is ")" or "]" or "}" ? -1 : 0;
                Add(TokenKind.Operator, op);
                at += op.Length;
            }
        }

        throw Wrong($"a tag has no end ({close})");
    }

    private void Number()
    {
        var begin = at;
        var kind = TokenKind.Integer;
        while (at < source.Length && (char.IsAsciiDigit(source[at]) || source[at] == '_'))
        {
            at++;
        }

        if (at + 1 < source.Length && source[at] == '.' && char.IsAsciiDigit(source[at + 1]))
        {
            kind = TokenKind.Float;
            for (at++; at < source.Length && char.IsAsciiDigit(source[at]); at++)
            {
            }
        }

        if (at < source.Length && source[at] is 'e' or 'E')
        {
            var digits = at + 1 + (at + 1 < source.Length && source[at + 1] is '+' or '-' ? 1 : 0);
            if (digits < source.Length && char.IsAsciiDigit(source[digits]))
            {
                kind = TokenKind.Float;
                for (at = digits; at < source.Length && char.IsAsciiDigit(source[at]); at++)
                {
                }
            }
        }

        Add(kind, source[begin..at].Replace("_", "", StringComparison.Ordinal));
    }

    private string Text(char quote)
    {
        var text = new StringBuilder();
        for (at++; at < source.Length; at++)
        {
            var c = source[at];
            if (c == quote)
            {
                at++;
                return text.ToString();
            }

            if (c == '\n')
            {
                line++;
            }

            if (c != '\\' || at + 1 >= source.Length)
            {
                text.Append(c);
                continue;
            }

            c = source[++at];
            var digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
            if (digits > 0 && at + digits < source.Length && int.TryParse(source.AsSpan(at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code) && code is >= 0 and <= 0x10FFFF)
            {
                text.Append(code is >= 0xD800 and <= 0xDFFF ? ((char)code).ToString() : char.ConvertFromUtf32(code));
                at += digits;
                continue;
            }

            text.Append(c switch { 'n' => "\n", 't' => "\t", 'r' => "\r", 'b' => "\b", 'f' => "\f", 'v' => "\v", 'a' => "\a", '0' => "\0", '\\' => "\\", '\'' => "'", '"' => "\"", '\n' => "", _ => "\\" + c });
        }

        throw Wrong("a string has no end");
    }

    private void Add(TokenKind kind, string text) => tokens.Add(new Token(kind, text, line));

    private ChatTemplateException Wrong(string what) => new($"line {line}: {what}");
}
