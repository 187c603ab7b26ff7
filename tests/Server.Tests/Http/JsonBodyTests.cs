using System.Buffers;
using System.Text;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Hosting;
using InferenceServer.Http.Middleware;
using InferenceServer.Http.Native;

namespace InferenceServer.Server.Tests.Http;

/// <summary>Bodies are read strictly, and a refusal says where and what was expected.</summary>
public sealed class JsonBodyTests
{
    [Fact]
    public void The_three_forms_of_inputs()
    {
        Assert.Equal(["a"], Parse<EmbeddingsBody>("""{"inputs": "a"}""").Inputs.Texts!);
        Assert.Equal(["a", "b"], Parse<EmbeddingsBody>("""{"inputs": ["a", "b"]}""").Inputs.Texts!);
        Assert.Equal([1, 2], Parse<EmbeddingsBody>("""{"inputs": [[1, 2], []]}""").Inputs.Ids![0]);
    }

    [Fact]
    public void A_long_list_with_a_wrong_last_entry_is_refused_without_asking_the_serializer_for_each()
    {
        var body = "{\"ids\": [[" + string.Concat(Enumerable.Repeat("1,", 200_000)) + "1], \"x\"]}";
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal("ids[1]", Assert.Throws<RequestException>(() => Parse<DetokenizeBody>(body)).Field);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 << 20);
    }

    [Fact]
    public void A_long_list_in_many_segments_is_read_in_linear_time()
    {
        var body = Encoding.UTF8.GetBytes("{\"query\": \"q\", \"documents\": [" + string.Concat(Enumerable.Repeat("\"a\",", 500_000)) + "\"a\"]}");
        var first = new Segment(body.AsMemory(0, 64), null);
        var last = first;
        for (var at = 64; at < body.Length; at += 64)
        {
            last = new Segment(body.AsMemory(at, Math.Min(64, body.Length - at)), last);
        }

        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        Assert.Equal(500_001, JsonBody<RerankBody>.Parse(new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length)).Documents.Length);
        Assert.InRange(System.Diagnostics.Stopwatch.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(3)); // 31,000 segments looked at for each entry take far longer
    }

    [Theory]
    [InlineData("""{"inputs": ["a", {}, LONG]}""", "inputs[1]", "is an object; it must be a text or a list of token ids")]
    [InlineData("""{"inputs": LONG, "poolling": "mean"}""", "poolling", "is not a field of this request; its fields are inputs")]
    [InlineData("""{"prompt_name": LONG}""", "", "a value is missing")]
    [InlineData("""{"inputs": LONG, "dimensions": "x"}""", "dimensions", "has another form")]
    [InlineData("""{"inputs": LONG""", "", "not valid JSON, at line 1")]
    public void A_large_body_is_refused_without_a_document_of_it(string body, string field, string message)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        body = body.Replace("LONG", "\"" + new string('a', 2 << 20) + "\"", StringComparison.Ordinal);
        var refusal = Assert.Throws<RequestException>(() => Parse<EmbeddingsBody>(body));
        Assert.Equal(field, refusal.Field ?? "");
        Assert.Contains(message, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("System", refusal.Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 24 << 20); // the body here, its bytes and its text
    }

    [Fact]
    public void Enumerations_go_by_their_wire_names()
    {
        var body = Parse<AttentionBody>("""{"text": "a", "format": "f16_base64", "kind": "cross", "aggregate": {"over": "all", "method": "rollout"}, "threshold": 0.5}""");
        Assert.Equal(InferenceServer.Engine.Tasks.Attention.AttentionFormat.F16Base64, body.Format);
        Assert.Equal(0.5f, body.Threshold);
    }

    [Theory]
    [InlineData("", null, "empty")]
    [InlineData("{", null, "line 1")]
    [InlineData("{}", "inputs", "missing")]
    [InlineData("""{"inputs": "a", "poolling": "mean"}""", "poolling", "Did you mean 'pooling'?")]
    [InlineData("""{"inputs": "a", "inputs": "a"}""", "inputs", "more than once")]
    [InlineData("""{"inputs": null}""", "inputs", "not null")]
    [InlineData("""{"inputs": {"a": 1}}""", "inputs", "not an object")]
    [InlineData("""{"inputs": [1, 2]}""", "inputs[0]", "[[101, 102]]")]
    [InlineData("""{"inputs": ["a", [1]]}""", "inputs[1]", "texts only")]
    [InlineData("""{"inputs": [[1], [1.5]]}""", "inputs[1][0]", "whole number")]
    [InlineData("""{"inputs": ["a", "\ud800"]}""", "inputs[1]", "surrogate")]
    [InlineData("""{"inputs": "a", "prompt_name": "\udc00"}""", "prompt_name", "surrogate")]
    [InlineData("""{"inputs": "a", "dimensions": "x"}""", "dimensions", "a whole number")]
    [InlineData("""{"inputs": "a", "level": "word"}""", "level", "sequence, token")]
    [InlineData("""{"inputs": "a", "level": 1}""", "level", "one of sequence, token")]
    [InlineData("""{"inputs": "a"} x""", null, "not valid JSON")]
    public void A_refusal_names_the_field_and_what_was_expected(string body, string? field, string says)
    {
        var error = Assert.Throws<RequestException>(() => Parse<EmbeddingsBody>(body));
        Assert.Equal((ErrorCode.Malformed, field), (error.Code, error.Field));
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"inputs\": 1, \"\u00e1\": 1}")]
    [InlineData("{\"inputs\": {\"a\": \"\u00ff\"}}")]
    [InlineData("{\"inputs\": \"a\", \"level\": \"\u00f2\"}")]
    [InlineData("{\"inputs\": \"a\", \"dimensions\": \"\u00ab\"}")]
    public void Bytes_that_are_not_utf8_are_refused_wherever_they_stand(string latin1)
    {
        var error = Assert.Throws<RequestException>(() => JsonBody<EmbeddingsBody>.Parse(new ReadOnlySequence<byte>(Encoding.Latin1.GetBytes(latin1))));
        Assert.Equal(ErrorCode.Malformed, error.Code);
    }

    [Fact]
    public void A_body_in_pieces_is_the_same_body()
    {
        var bytes = Encoding.UTF8.GetBytes("""{"inputs": ["O gato dorme no sofá.", "日本"]}""");
        for (var cut = 1; cut < bytes.Length; cut++)
        {
            var first = new Piece(bytes.AsMemory(0, cut));
            var last = first.Then(bytes.AsMemory(cut));
            var body = JsonBody<EmbeddingsBody>.Parse(new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length));
            Assert.Equal(["O gato dorme no sofá.", "日本"], body.Inputs.Texts!);
        }
    }

    [Fact]
    public void Every_kind_of_error_has_one_row_a_name_and_but_for_numbers_that_are_none_a_status_of_its_own()
    {
        Assert.Equal(Enum.GetValues<ErrorCode>().Order(), ErrorTable.Rows.Select(r => r.Code).Order());
        Assert.Equal(ErrorTable.Rows.Count, ErrorTable.Rows.Select(r => r.Name).Distinct().Count());
        Assert.Equal(ErrorTable.Rows.Count - 1, ErrorTable.Rows.Select(r => r.Status).Distinct().Count()); // not-finite is a 500 with a name of its own
        Assert.All(ErrorTable.Rows, r => Assert.InRange(r.Status, 400, 599));
    }

    [Theory]
    [InlineData("topk", "top_k")]
    [InlineData("Inputs", "inputs")]
    [InlineData("tpo_k", "top_k")]
    [InlineData("colour", null)]
    [InlineData("", null)]
    public void The_nearest_name(string name, string? nearest) => Assert.Equal(nearest, NearestName.Find(name, ["inputs", "pairs", "top_k", "targets"]));

    [Theory]
    [InlineData("http://[::]:8080", "http://localhost:8080")]
    [InlineData("http://*:80/", "http://localhost:80")]
    [InlineData("http://127.0.0.1:5", "http://127.0.0.1:5")]
    public void Addresses_are_shown_as_they_can_be_typed(string address, string shown) => Assert.Equal(shown, StartupReport.Reachable(address));

    private static T Parse<T>(string body)
        where T : class => JsonBody<T>.Parse(new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(body)));

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory) => Memory = memory;

        public Piece Then(ReadOnlyMemory<byte> memory)
        {
            var next = new Piece(memory) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, Segment? before)
        {
            Memory = memory;
            if (before is not null)
            {
                RunningIndex = before.RunningIndex + before.Memory.Length;
                before.Next = this;
            }
        }
    }
}
