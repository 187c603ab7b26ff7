namespace InferenceServer.TestSupport.Fuzz;

/// <summary>
/// ONNX files changed as a damaged disk, a broken exporter or a hostile author changes them: single fields of the protobuf message with all lengths around them right, or bytes
/// of the file. The same number gives the same change. The wire format: https://protobuf.dev/programming-guides/encoding.
/// </summary>
public static class GraphMutation
{
    private const int Variable = 0, Fixed64 = 1, Delimited = 2, Fixed32 = 5; // wire types

    // Which fields hold messages, by the kind of message around them, and of what kind they are: onnx.proto.
    private static readonly Dictionary<(Kind, int), Kind> Messages = new()
    {
        [(Kind.Model, 7)] = Kind.Graph,
        [(Kind.Model, 8)] = Kind.Opset,
        [(Kind.Graph, 1)] = Kind.Node,
        [(Kind.Graph, 5)] = Kind.Tensor,
        [(Kind.Graph, 11)] = Kind.Value,
        [(Kind.Graph, 12)] = Kind.Value,
        [(Kind.Graph, 13)] = Kind.Value,
        [(Kind.Node, 5)] = Kind.Attribute,
        [(Kind.Attribute, 5)] = Kind.Tensor,
        [(Kind.Attribute, 6)] = Kind.Graph,
        [(Kind.Value, 2)] = Kind.Type,
        [(Kind.Type, 1)] = Kind.TensorType,
        [(Kind.TensorType, 2)] = Kind.Shape,
        [(Kind.Shape, 1)] = Kind.Dimension,
        [(Kind.Tensor, 13)] = Kind.Entry,
    };

    private static readonly ulong[] Numbers = [0, 1, 2, 127, 1 << 20, int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 40, 1UL << 62, long.MaxValue, 1UL << 63, ulong.MaxValue, ulong.MaxValue - 1];

    private enum Kind
    {
        Model,
        Graph,
        Opset,
        Node,
        Tensor,
        Value,
        Attribute,
        Type,
        TensorType,
        Shape,
        Dimension,
        Entry,
    }

    /// <summary>One changed file.</summary>
    public static byte[] Of(byte[] file, int number)
    {
        var random = new Random(number);
        var bytes = file;
        if (random.Next(4) != 0)
        {
            var root = new Field { Children = Read(file, Kind.Model) };
            for (var i = random.Next(1, 4); i > 0; i--)
            {
                Change(root, random);
            }

            bytes = root.Content();
        }

        return bytes == file || random.Next(8) == 0 ? Damage(bytes, random) : bytes;
    }

    private static void Change(Field root, Random random)
    {
        var places = new List<(Field Parent, int At)>();
        Collect(root, places);
        if (places.Count == 0)
        {
            return;
        }

        var (parent, at) = places[random.Next(places.Count)];
        var list = parent.Children!;
        var field = list[at];
        var other = places[random.Next(places.Count)];
        var another = other.Parent.Children![other.At].Copy();
        switch (random.Next(9))
        {
            case 0: // gone
                list.RemoveAt(at);
                break;
            case 1: // twice, at times many times
                list.InsertRange(at, Enumerable.Range(0, random.Next(8) == 0 ? 200 : 1).Select(_ => field.Copy()));
                break;
            case 2: // in another's place
                var with = random.Next(list.Count);
                (list[at], list[with]) = (list[with], list[at]);
                break;
            case 3: // another number
                field.Number = random.Next(2) == 0 ? random.Next(1, 30) : random.Next(1, 1 << 29);
                break;
            case 4: // what stands elsewhere
                list[at] = another;
                break;
            case 5: // what stands elsewhere, under this number
                another.Number = field.Number;
                list[at] = another;
                break;
            case 6 when field.Wire == Delimited: // long
                field.Bytes = Longer(field.Content(), random.Next(2) == 0 ? 300 : 100_000);
                field.Children = null;
                break;
            case 7 when field.Wire == Delimited: // damaged within
                field.Bytes = Mutation.Bytes(field.Content(), random);
                field.Children = null;
                break;
            default: // another value
                field.Bytes = [.. Enumerable.Range(0, random.Next(1, 4)).SelectMany(_ => Encode(Numbers[random.Next(Numbers.Length)]))];
                field.Value = Numbers[random.Next(Numbers.Length)];
                field.Children = null;
                break;
        }
    }

    private static byte[] Damage(byte[] bytes, Random random)
    {
        if (bytes.Length == 0)
        {
            return bytes;
        }

        var at = random.Next(bytes.Length);
        switch (random.Next(4))
        {
            case 0:
                return bytes[..at];
            case 1: // a length or a number that is huge
                return [.. bytes[..at], .. Encode(Numbers[random.Next(Numbers.Length)]), .. bytes[Math.Min(bytes.Length, at + 1)..]];
            case 2: // a part of it again
                return [.. bytes[..at], .. bytes[random.Next(bytes.Length)..]];
            default:
                var changed = (byte[])bytes.Clone();
                for (var i = random.Next(1, 24); i > 0; i--)
                {
                    changed[random.Next(changed.Length)] ^= (byte)(1 << random.Next(8));
                }

                return changed;
        }
    }

    private static void Collect(Field parent, List<(Field Parent, int At)> places)
    {
        for (var i = 0; i < parent.Children!.Count; i++)
        {
            places.Add((parent, i));
            if (parent.Children[i].Children is not null)
            {
                Collect(parent.Children[i], places);
            }
        }
    }

    private static byte[] Longer(byte[] bytes, int length)
    {
        var longer = new byte[bytes.Length + length];
        for (var i = 0; i < longer.Length; i++)
        {
            longer[i] = bytes.Length == 0 ? (byte)'a' : bytes[i % bytes.Length];
        }

        return longer;
    }

    private static List<Field> Read(ReadOnlySpan<byte> message, Kind kind)
    {
        var fields = new List<Field>();
        for (var at = 0; at < message.Length;)
        {
            var tag = Decode(message, ref at);
            var field = new Field { Number = (int)(tag >> 3), Wire = (int)(tag & 7) };
            switch (field.Wire)
            {
                case Variable:
                    field.Value = Decode(message, ref at);
                    break;
                case Fixed32 or Fixed64:
                    var size = field.Wire == Fixed32 ? 4 : 8;
                    field.Value = size == 4 ? BitConverter.ToUInt32(message[at..]) : BitConverter.ToUInt64(message[at..]);
                    at += size;
                    break;
                case Delimited:
                    var length = (int)Decode(message, ref at);
                    var content = message.Slice(at, length);
                    field.Children = Messages.TryGetValue((kind, field.Number), out var inner) ? Read(content, inner) : null;
                    field.Bytes = content.ToArray();
                    at += length;
                    break;
                default:
                    throw new ArgumentException("Only files that are whole can be changed.");
            }

            fields.Add(field);
        }

        return fields;
    }

    private static ulong Decode(ReadOnlySpan<byte> bytes, ref int at)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            value |= (ulong)(bytes[at] & 0x7F) << shift;
            if (bytes[at++] < 0x80)
            {
                return value;
            }
        }
    }

    private static byte[] Encode(ulong value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
        {
            bytes.Add((byte)(value | 0x80));
        }

        return [.. bytes, (byte)value];
    }

    private sealed class Field
    {
        public int Number { get; set; }

        public int Wire { get; set; }

        public ulong Value { get; set; }

        public byte[] Bytes { get; set; } = [];

        public List<Field>? Children { get; set; }

        public Field Copy() => new() { Number = Number, Wire = Wire, Value = Value, Bytes = Bytes, Children = Children?.ConvertAll(child => child.Copy()) };

        public byte[] Content()
        {
            if (Children is null)
            {
                return Bytes;
            }

            using var stream = new MemoryStream();
            Children.ForEach(child => child.Write(stream));
            return stream.ToArray();
        }

        private void Write(MemoryStream to)
        {
            to.Write(Encode(((ulong)Number << 3) | (uint)Wire));
            switch (Wire)
            {
                case Variable:
                    to.Write(Encode(Value));
                    break;
                case Fixed32:
                    to.Write(BitConverter.GetBytes((uint)Value));
                    break;
                case Fixed64:
                    to.Write(BitConverter.GetBytes(Value));
                    break;
                default:
                    var content = Content();
                    to.Write(Encode((ulong)content.Length));
                    to.Write(content);
                    break;
            }
        }
    }
}
