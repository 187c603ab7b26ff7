using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace InferenceServer.TestSupport.Fuzz;

/// <summary>
/// Requests changed around their body, as bytes on a connection of their own: method, path, model id, headers, framing, encoding. Each gets an answer
/// that HTTP and the server's table of errors know, or the end of its connection, soon; none gets a 500.
/// </summary>
/// <param name="client">Speaks to the server.</param>
public sealed class RequestFuzz(HttpClient client)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private static readonly HashSet<int> Known = [200, 204, 301, 307, 400, 404, 405, 406, 408, 409, 411, 413, 414, 415, 417, 422, 429, 431, 501, 503, 504, 505];

    private static readonly string[] Methods = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post", "P\0ST", "", "VERYLONGMETHODNAMETHATNOBODYHAS", "POST POST", "PRI"];

    private static readonly string[] Models =
    [
        "", ".", "..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "demo-bert%00", "DEMO-BERT", "demo-bert/", "demo-bert//", "demo%2Dbert", "%", "%zz", "%ff%fe", "a%20b", "{model}", "*", "con", "~", "demo-bert;x=1", "demo-bert?x=1", "demo-bert#x", "\u00e9", "%F0%9F%98%80", "'\"<script>",
    ];

    private static readonly string[] Types =
    [
        "", "application/json; charset=utf-16", "application/json; charset=utf-8; charset=latin1", "application/json; charset=nonsense", "application/json;", ";", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/octet-stream", "application/vnd.api+json", "APPLICATION/JSON", "*/*", "application/\0json", "json",
    ];

    private static readonly string[] Numbers = ["", "0", "-1", "1", "1.5", "1e3", "00010", "+5", "2147483648", "9223372036854775808", "99999999999999999999999", "abc", "0x10", " 7", "NaN", "\u0663"];

    private static readonly string[] Accepts = ["", "*/*", "text/html", "application/json;q=0", "text/event-stream", "application/xml", "application/json, ,", ";;;", "application/octet-stream"];

    private static readonly string[] Encodings = ["gzip", "br", "deflate", "zstd", "identity", "gzip, gzip", "gzip;q=1", "x-gzip", "nonsense", ""];

    /// <summary>Answers by status; 0 = the connection ended without one.</summary>
    public SortedDictionary<int, int> Statuses { get; } = [];

    /// <summary>What was wrong, with what gives it again.</summary>
    public List<string> Wrong { get; } = [];

    /// <summary>Sends so many requests, those of the numbers from <paramref name="first"/> on.</summary>
    public async Task RunAsync(int count, int first, CancellationToken cancellation = default)
    {
        var operations = await Operation.ReadAsync(client, cancellation);
        for (var number = first; number < first + count && Wrong.Count < 20; number++)
        {
            var random = new Random(number);
            var operation = operations[random.Next(operations.Count)];
            var (model, body) = operation.Examples[random.Next(operation.Examples.Count)];
            await SendAsync(Request(operation, model, Encoding.UTF8.GetBytes(body), random), number, cancellation);
        }
    }

    private byte[] Request(Operation operation, string model, byte[] body, Random random)
    {
        var method = "POST";
        var path = operation.PathFor(model);
        var version = "HTTP/1.1";
        var headers = new List<(string Name, string Value)> { ("Host", client.BaseAddress!.Authority), ("Connection", "close"), ("Content-Type", "application/json") };
        var framing = ("Content-Length", body.Length.ToString(CultureInfo.InvariantCulture));
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            switch (random.Next(12))
            {
                case 0:
                    method = One(Methods, random);
                    break;
                case 1:
                    path = operation.PathFor(One(Models, random));
                    break;
                case 2:
                    path = Path(path, random);
                    break;
                case 3:
                    Set(headers, "Content-Type", One(Types, random));
                    break;
                case 4:
                    Set(headers, One(["x-deadline-ms", "x-priority", "x-request-id", "traceparent", "Cookie"], random), random.Next(4) == 0 ? Noise(random) : One(Numbers, random));
                    break;
                case 5:
                    Set(headers, "Accept", One(Accepts, random));
                    break;
                case 6: // an encoding, true or not, whole or damaged
                    Set(headers, "Content-Encoding", One(Encodings, random));
                    body = Packed(body, random);
                    framing = ("Content-Length", body.Length.ToString(CultureInfo.InvariantCulture));
                    break;
                case 7: // a length that is none, or another's
                    framing = ("Content-Length", random.Next(2) == 0 ? One(Numbers, random) : (body.Length + random.Next(-20, 20)).ToString(CultureInfo.InvariantCulture));
                    break;
                case 8: // chunks
                    body = Chunks(body, random);
                    framing = ("Transfer-Encoding", random.Next(6) == 0 ? One(["identity", "gzip, chunked", "chunked, chunked", "CHUNKED", "x"], random) : "chunked");
                    break;
                case 9:
                    Set(headers, "Host", One(["", "localhost", "example.com", "a b", "[::1", "[::1]:99999", "\u00e9", "localhost:0", "localhost, localhost"], random));
                    break;
                case 10:
                    headers.Add(One([("Expect", "100-continue"), ("Expect", "nonsense"), ("Upgrade", "h2c"), ("Upgrade", "websocket"), ("Range", "bytes=0-1"), ("If-None-Match", "*"), ("Origin", "null"), ("X-Long", new string('a', random.Next(1, 70_000))), ("X-" + Noise(random), "1"), ("Content-Length", "7"), ("Transfer-Encoding", "chunked")], random));
                    break;
                default:
                    version = One(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", ""], random);
                    break;
            }
        }

        headers.Add(framing);
        var head = new StringBuilder($"{method} {path} {version}\r\n");
        headers.ForEach(header => head.Append(CultureInfo.InvariantCulture, $"{header.Name}: {header.Value}\r\n"));
        byte[] whole = [.. Encoding.UTF8.GetBytes(head.Append("\r\n").ToString()), .. body];
        return random.Next(6) == 0 ? Mutation.Bytes(whole, random) : whole;
    }

    private static string Path(string path, Random random) => random.Next(8) switch
    {
        0 => path + "/",
        1 => "/" + path,
        2 => path.Replace("/", "//", StringComparison.Ordinal),
        3 => path + "?" + Noise(random),
        4 => path + new string('a', random.Next(1, 20_000)),
        5 => path.Replace("/api", "/api/../api/./", StringComparison.Ordinal),
        6 => "http://other/" + path,
        _ => path.ToUpperInvariant(),
    };

    private static byte[] Packed(byte[] body, Random random)
    {
        using var packed = new MemoryStream();
        using (Stream stream = random.Next(3) == 0 ? new BrotliStream(packed, CompressionLevel.Fastest, leaveOpen: true) : new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            stream.Write(body);
        }

        return random.Next(2) == 0 ? packed.ToArray() : Mutation.Bytes(packed.ToArray(), random);
    }

    private static byte[] Chunks(byte[] body, Random random)
    {
        var framed = new List<byte>();
        for (var at = 0; at < body.Length;)
        {
            var size = Math.Min(body.Length - at, random.Next(1, 40));
            framed.AddRange(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{size:x}{(random.Next(6) == 0 ? ";name=\"value\"" : "")}\r\n")));
            framed.AddRange(body[at..(at + size)]);
            framed.AddRange("\r\n"u8);
            at += size;
        }

        framed.AddRange(random.Next(4) == 0 ? "0\r\nX-Trailer: 1\r\n\r\n"u8 : "0\r\n\r\n"u8);
        return random.Next(3) == 0 ? Mutation.Bytes([.. framed], random) : [.. framed];
    }

    private static string Noise(Random random) => string.Concat(Enumerable.Range(0, random.Next(1, 60)).Select(_ => (char)random.Next(1, 0x250)));

    private static T One<T>(T[] values, Random random) => values[random.Next(values.Length)];

    private static void Set(List<(string Name, string Value)> headers, string name, string value)
    {
        headers.RemoveAll(header => header.Name == name);
        headers.Add((name, value));
    }

    private async Task SendAsync(byte[] request, int number, CancellationToken cancellation)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(4 * Patience);
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(client.BaseAddress!.Host, client.BaseAddress.Port, limit.Token);
            var answer = await ExchangeAsync(socket, request, limit.Token);
            Check(answer, number);
        }
        catch (Exception e) when (e is OperationCanceledException or JsonException)
        {
            cancellation.ThrowIfCancellationRequested();
            Wrong.Add($"number {number}: {e.GetType().Name} {e.Message}");
        }

        if (Stopwatch.GetElapsedTime(started) > Patience)
        {
            Wrong.Add(string.Create(CultureInfo.InvariantCulture, $"number {number}: {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s"));
        }
    }

    // All that comes back until the server ends the connection, which the end of the request makes it do. A reset ends it too.
    private static async Task<byte[]> ExchangeAsync(Socket socket, byte[] request, CancellationToken cancellation)
    {
        using var answer = new MemoryStream();
        try
        {
            var receiving = ReceiveAsync(socket, answer, cancellation);
            for (var sent = 0; sent < request.Length;)
            {
                sent += await socket.SendAsync(request.AsMemory(sent), cancellation);
            }

            if (await Task.WhenAny(receiving, Task.Delay(TimeSpan.FromMilliseconds(300), cancellation)) != receiving)
            {
                socket.Shutdown(SocketShutdown.Send); // not before: a server may take a half-closed connection for a client that has gone
            }

            await receiving;
        }
        catch (SocketException)
        {
        }

        return answer.ToArray();
    }

    private static async Task ReceiveAsync(Socket socket, MemoryStream answer, CancellationToken cancellation)
    {
        var buffer = new byte[16 << 10];
        while (await socket.ReceiveAsync(buffer, cancellation) is > 0 and var received)
        {
            answer.Write(buffer, 0, received);
        }
    }

    // The last answer: an interim one (100) and those to requests that the change made of one may stand before it.
    private void Check(byte[] answer, int number)
    {
        var text = Encoding.Latin1.GetString(answer);
        var at = text.StartsWith("HTTP/1.1 100", StringComparison.Ordinal) ? text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4 : 0;
        text = text[at..];
        var status = text.StartsWith("HTTP/1.", StringComparison.Ordinal) && text.Length > 12 ? int.Parse(text.AsSpan(9, 3), CultureInfo.InvariantCulture) : 0;
        Statuses[status] = Statuses.GetValueOrDefault(status) + 1;
        if (answer.Length > 0 && status == 0 && text.Length > 0)
        {
            Wrong.Add($"number {number}: no HTTP: {text[..Math.Min(200, text.Length)]}");
        }
        else if (status != 0 && !Known.Contains(status))
        {
            Wrong.Add($"number {number}: {text[..Math.Min(1000, text.Length)]}");
        }
        else if (text.Contains("   at ", StringComparison.Ordinal))
        {
            Wrong.Add($"number {number}: a stack: {text[..Math.Min(1000, text.Length)]}");
        }
        else if (status >= 400 && text.Contains("content-type: application/problem+json", StringComparison.OrdinalIgnoreCase))
        {
            var body = text[(text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
            var reader = new Utf8JsonReader(answer.AsSpan(answer.Length - body.Length), isFinalBlock: false, default); // behind it may stand the answer to what was left of the request
            if (body.StartsWith('{') && (JsonNode.Parse(ref reader) is not JsonObject problem || problem["detail"] is null || problem["request_id"] is null))
            {
                Wrong.Add($"number {number}: without details: {body}");
            }
        }
    }
}
