using System.Text;

namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary>String operations where Rust's differ from .NET's.</summary>
internal static class Texts
{
    /// <summary>Replaces every occurrence; an empty pattern occurs before every character and at the end.</summary>
    public static string Replace(string text, string pattern, string content)
    {
        if (pattern.Length > 0)
        {
            return text.Replace(pattern, content, StringComparison.Ordinal);
        }

        var result = new StringBuilder(content);
        foreach (var rune in text.EnumerateRunes())
        {
            result.Append(rune.ToString()).Append(content);
        }

        return result.ToString();
    }
}
