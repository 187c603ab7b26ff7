using System.Globalization;
using System.Text;

namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>ByteFallback</c>: a run of tokens such as <c>&lt;0xE2&gt;</c> becomes text; if it is not UTF-8 as a whole, one U+FFFD a byte.</summary>
internal sealed class ByteFallback : Decoder
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        var bytes = new List<byte>();
        foreach (var token in tokens)
        {
            if (Byte(token) is { } b)
            {
                bytes.Add(b);
                continue;
            }

            Flush();
            result.Add(token);
        }

        Flush();
        return result;

        void Flush()
        {
            if (bytes.Count == 0)
            {
                return;
            }

            try
            {
                result.Add(Strict.GetString(bytes.ToArray()));
            }
            catch (DecoderFallbackException)
            {
                result.AddRange(Enumerable.Repeat("\uFFFD", bytes.Count)); // tokens of their own for the decoders behind
            }

            bytes.Clear();
        }
    }

    private static byte? Byte(string token)
    {
        if (token.Length != 6 || !token.StartsWith("<0x", StringComparison.Ordinal) || token[5] != '>')
        {
            return null;
        }

        // Rust's number parser takes a sign: <0x+A>.
        var digits = token[3] == '+' ? token.AsSpan(4, 1) : token.AsSpan(3, 2);
        return byte.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) ? value : null;
    }
}
