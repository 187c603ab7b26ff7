using System.Buffers;
using System.Text;
using InferenceServer.Engine.Tokenization.PreTokenizers;

namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>ByteLevel</c>: symbols back to bytes, bytes to text; what is not UTF-8 becomes U+FFFD. A token with another character stands for its own text.</summary>
internal sealed class ByteLevel : Decoder
{
    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        var total = 0;
        foreach (var token in tokens)
        {
            total += Encoding.UTF8.GetMaxByteCount(token.Length);
        }

        var bytes = ArrayPool<byte>.Shared.Rent(total);
        var count = 0;
        foreach (var token in tokens)
        {
            var start = count;
            foreach (var c in token)
            {
                var b = ByteSymbols.Byte(c);
                if (b < 0)
                {
                    count = start + Encoding.UTF8.GetBytes(token, bytes.AsSpan(start));
                    break;
                }

                bytes[count++] = (byte)b;
            }
        }

        var text = Encoding.UTF8.GetString(bytes, 0, count);
        ArrayPool<byte>.Shared.Return(bytes);
        return [text];
    }
}
