using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary><c>Lowercase</c>: character by character, without context. U+0130 becomes i and U+0307.</summary>
internal sealed class Lowercase : Normalizer
{
    /// <inheritdoc/>
    public override void Normalize(NormalizedString text) => Apply(text);

    /// <summary>Lowercases a text, in place where it can.</summary>
    public static void Apply(NormalizedString text)
    {
        var chars = text.Chars;
        var wide = false;
        for (var i = 0; i < chars.Length; i++)
        {
            var c = chars[i];
            if (c < 0x80)
            {
                if ((uint)(c - 'A') <= 'Z' - 'A')
                {
                    chars[i] = (char)(c | 0x20);
                }
            }
            else if (c == CaseMapping.DottedCapitalI)
            {
                wide = true;
            }
            else if (char.IsHighSurrogate(c) && i + 1 < chars.Length)
            {
                // A supplementary letter's lower case is supplementary as well: both units are changed in place.
                var at = i;
                var supplementary = CodePoints.Next(chars, ref at);
                if (CaseMapping.ToLower(supplementary) is var lower && lower != supplementary)
                {
                    CodePoints.Write(lower, chars[i..]);
                }

                i = at - 1;
            }
            else
            {
                chars[i] = (char)CaseMapping.ToLower(c);
            }
        }

        if (wide)
        {
            text.Replace("\u0130", "i\u0307");
        }
    }
}
