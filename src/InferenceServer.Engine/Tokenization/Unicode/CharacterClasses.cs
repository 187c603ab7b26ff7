using System.Runtime.CompilerServices;

namespace InferenceServer.Engine.Tokenization.Unicode;

/// <summary>The classes of characters that the parts of tokenizer.json ask about, each as the reference has it.</summary>
internal static class CharacterClasses
{
    // One bit a class for ASCII.
    private const byte SpaceBit = 1, PunctuationBit = 2, WordBit = 4, NumericBit = 8;

    private static readonly Lazy<CodePointSet> WordSet = Set("rust.word");
    private static readonly Lazy<CodePointSet> NumericSet = Set("rust.numeric");
    private static readonly Lazy<CodePointSet> PunctuationSet = Set("bert.punctuation");
    private static readonly Lazy<CodePointSet> ControlSet = Set("bert.control");
    private static readonly Lazy<CodePointSet> NonspacingSet = Set("bert.nonspacing");
    private static readonly Lazy<CodePointSet> MarkSet = Set("mark");
    private static readonly byte[] Ascii = MakeAscii();

    /// <summary>White_Space (Rust's <c>char::is_whitespace</c>, and <c>\s</c> of both regex engines).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsWhiteSpace(int c) => c < 128
        ? (Ascii[c] & SpaceBit) != 0
        : c is 0x85 or 0xA0 or 0x1680 or (>= 0x2000 and <= 0x200A) or 0x2028 or 0x2029 or 0x202F or 0x205F or 0x3000;

    /// <summary>Punctuation of BertPreTokenizer and Punctuation: ASCII punctuation and symbols, P* of an old Unicode.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsPunctuation(int c) => c < 128 ? (Ascii[c] & PunctuationBit) != 0 : PunctuationSet.Value.Contains(c);

    /// <summary><c>\w</c> of the Rust regex engine: pre-tokenizer Whitespace and <c>single_word</c> of added tokens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsWord(int c) => c < 128 ? (Ascii[c] & WordBit) != 0 : WordSet.Value.Contains(c);

    /// <summary>Nd, Nl and No (Rust's <c>char::is_numeric</c>): pre-tokenizer Digits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsNumeric(int c) => c < 128 ? (Ascii[c] & NumericBit) != 0 : NumericSet.Value.Contains(c);

    /// <summary>What BertNormalizer's <c>clean_text</c> removes: NUL, U+FFFD, Cc but tab, LF and CR, Cf, Co.</summary>
    public static bool IsBertControl(int c) => c < 128
        ? c is < 32 and not ('\t' or '\n' or '\r') or 127
        : c is (>= 0xF0000 and <= 0xFFFFD) or (>= 0x100000 and <= 0x10FFFD) || ControlSet.Value.Contains(c); // planes of private use

    /// <summary>Mn of an old Unicode: what BertNormalizer's <c>strip_accents</c> removes.</summary>
    public static bool IsBertNonspacing(int c) => c >= 0x300 && NonspacingSet.Value.Contains(c);

    /// <summary>M* of Unicode 10: what the normalizer StripAccents removes.</summary>
    public static bool IsMark(int c) => c >= 0x300 && MarkSet.Value.Contains(c);

    /// <summary>What BertNormalizer's <c>handle_chinese_chars</c> sets apart. U+2B820..U+2B91F are missing: a slip of the reference.</summary>
    public static bool IsChinese(int c) => c >= 0x3400 && c is
        (>= 0x4E00 and <= 0x9FFF) or (>= 0x3400 and <= 0x4DBF) or (>= 0x20000 and <= 0x2A6DF) or (>= 0x2A700 and <= 0x2B81F)
        or (>= 0x2B920 and <= 0x2CEAF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x2F800 and <= 0x2FA1F);

    private static Lazy<CodePointSet> Set(string section) => new(() => new CodePointSet(UnicodeData.Ranges(section)));

    private static byte[] MakeAscii()
    {
        var classes = new byte[128];
        for (var c = 0; c < 128; c++)
        {
            classes[c] = (byte)((c is (>= 9 and <= 13) or ' ' ? SpaceBit : 0)
                | (c > ' ' && c < 127 && !char.IsAsciiLetterOrDigit((char)c) ? PunctuationBit : 0)
                | (char.IsAsciiLetterOrDigit((char)c) || c == '_' ? WordBit : 0)
                | (char.IsAsciiDigit((char)c) ? NumericBit : 0));
        }

        return classes;
    }
}
