using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using InferenceServer.Engine.Tasks.Attention;
using Xunit;

namespace InferenceServer.Engine.Tests.Tasks.Attention;

public class AttentionFormatsTests
{
    private static readonly float[] Values = [0f, 0.25f, 0.5f, 1f, 0.002f, 0.9999f];

    [Theory]
    [InlineData(new[] { 1, 1, 2, 3 }, "(1, 1, 2, 3)")]
    [InlineData(new[] { 2, 3 }, "(2, 3)")]
    [InlineData(new[] { 6 }, "(6,)")]
    public void Npy_is_read_back(int[] shape, string tuple)
    {
        var file = AttentionFormats.Npy(Values, shape).ToArray();
        Assert.Equal([0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0], file[..8]);
        var length = BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(8));
        Assert.Equal(0, (10 + length) % 64);
        var header = Encoding.ASCII.GetString(file, 10, length);
        Assert.EndsWith("\n", header, StringComparison.Ordinal);
        Assert.StartsWith($"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple}, }}", header, StringComparison.Ordinal);
        Assert.Equal(Values, Floats(file.AsSpan(10 + length)));
    }

    [Fact]
    public void Safetensors_is_read_back()
    {
        var file = AttentionFormats.Safetensors([("attention", [2, 3], Values)], new Dictionary<string, string> { ["axes"] = "[\"query\",\"key\"]", ["tokens"] = "praça 😀" }).ToArray();
        var length = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        Assert.Equal(0, length % 8);
        using var header = JsonDocument.Parse(file.AsMemory(8, length));
        Assert.Equal("praça 😀", header.RootElement.GetProperty("__metadata__").GetProperty("tokens").GetString());
        var tensor = header.RootElement.GetProperty("attention");
        Assert.Equal("F32", tensor.GetProperty("dtype").GetString());
        Assert.Equal([2, 3], tensor.GetProperty("shape").EnumerateArray().Select(x => x.GetInt32()));
        Assert.Equal([0, 24], tensor.GetProperty("data_offsets").EnumerateArray().Select(x => x.GetInt32()));
        Assert.Equal(Values, Floats(file.AsSpan(8 + length)));
    }

    [Fact]
    public void Small_numbers_are_rounded_not_cut()
    {
        Assert.Equal([0, 64, 128, 255, 1, 255], new AttentionPayload([], 1, Values).ToArray());
        Assert.Equal((Half)0.25f, BinaryPrimitives.ReadHalfLittleEndian(new AttentionPayload([], 2, Values).ToArray().AsSpan(2)));
        Assert.Equal(12, new AttentionPayload([], 2, Values).Length);
    }

    private static float[] Floats(ReadOnlySpan<byte> bytes)
    {
        var floats = new float[bytes.Length / 4];
        for (var i = 0; i < floats.Length; i++)
        {
            floats[i] = BinaryPrimitives.ReadSingleLittleEndian(bytes[(i * 4)..]);
        }

        return floats;
    }
}
