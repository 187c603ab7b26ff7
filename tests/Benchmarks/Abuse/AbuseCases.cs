using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Abuse;

/// <summary>One way of costing a server.</summary>
/// <param name="Name">Its name on the command line.</param>
/// <param name="Description">What is sent.</param>
/// <param name="RunAsync">Sends it to the model of that id; gives the answers by status.</param>
/// <param name="MostMiB">Most that memory may rise by; null where no figure is asked for.</param>
internal sealed record AbuseCase(string Name, string Description, Func<MeasuredServer, string, Task<string>> RunAsync, double? MostMiB = null)
{
    /// <summary>Settings of the server, beside its defaults.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>Most seconds of processor time on each core that it may take, what the neighbour costs included; null where no figure is asked for.</summary>
    public double? MostSeconds { get; init; }

    /// <summary>Adds to the folder of models, before the server starts.</summary>
    public Action<ModelsFolder> Prepare { get; init; } = _ => { };

    /// <summary>A model that is served beside all-MiniLM-L6-v2, by its name in the shared folder; null for none.</summary>
    public string? Besides { get; init; }
}

/// <summary>Every case.</summary>
internal static class AbuseCases
{
    private const string LongToken = "long-token";
    private const string SmolLM2 = "SmolLM2-135M-Instruct";
    private const string Generations = $"/api/models/{SmolLM2}/generations";
    private const int BodyMiB = 30;
    private const double MostTimesBody = 12;

    /// <summary>The cases, in the order of the table.</summary>
    public static IReadOnlyList<AbuseCase> All { get; } =
    [
        new("letter", $"one text of {BodyMiB} MB of one letter", (server, model) => PostAsync(server, model, Text(new string('a', BodyMiB << 20))), MostTimesBody * BodyMiB) { MostSeconds = 2 },
        new("spaces", $"one text of {BodyMiB} MB of spaces", (server, model) => PostAsync(server, model, Text(new string(' ', BodyMiB << 20))), MostTimesBody * BodyMiB) { MostSeconds = 2 },
        new("marks", $"one text of {BodyMiB} MB of combining marks", (server, model) => PostAsync(server, model, Text("e" + new string('\u0301', BodyMiB << 19))), MostTimesBody * BodyMiB) { MostSeconds = 2 },
        new("tokenize", "20 MB of words to the tokenizer, truncated", (server, model) => PostAsync(server, $"/api/models/{model}/tokenize", Bytes($$"""{"truncate": true, "inputs": "{{new StringBuilder().Insert(0, "the server answers ", 1 << 20)}}"}""")), MostTimesBody * 20) { MostSeconds = 2 },
        new("added", "a text of 900 kB of the first letter of an added token of 1 MB", (server, _) => PostAsync(server, $"/api/models/{LongToken}/tokenize", Bytes($$"""{"truncate": true, "inputs": "{{new string('a', 900_000)}}"}""")), MostTimesBody) { Prepare = AddLongToken, MostSeconds = 2 },
        new("many", $"{BodyMiB} MB of words in seven texts to the tokenizer, truncated", (server, model) => PostAsync(server, $"/api/models/{model}/tokenize", Bytes($$"""{"truncate": true, "inputs": [{{string.Join(',', Enumerable.Repeat($"\"{Words((4 << 20) - 20)}\"", 7))}}]}""")), MostTimesBody * 28) { MostSeconds = 2 },
        new("pieces", "seven texts of 4 Mi punctuation marks, each a word, to the tokenizer, truncated", (server, model) => PostAsync(server, $"/api/models/{model}/tokenize", Bytes($$"""{"truncate": true, "inputs": [{{string.Join(',', Enumerable.Repeat($"\"{new string('!', 4 << 20)}\"", 7))}}]}""")), MostTimesBody * 28) { MostSeconds = 2 },
        new("bytes", "seven texts of 4 Mi characters to a byte-level tokenizer, truncated", (server, _) => PostAsync(server, $"/api/models/{SmolLM2}/tokenize", Bytes($$"""{"truncate": true, "inputs": [{{string.Join(',', Enumerable.Repeat($"\"{Words((4 << 20) - 20)}\"", 7))}}]}""")), MostTimesBody * 28) { Besides = SmolLM2, MostSeconds = 2 },
        new("tokens", "one text of 2 Mi words of one letter to the tokenizer, not truncated", (server, model) => PostAsync(server, $"/api/models/{model}/tokenize", Bytes($$"""{"inputs": "{{new StringBuilder().Insert(0, "a ", 2 << 20)}}"}""")), MostTimesBody * 4) { MostSeconds = 2 },
        new("texts", "7 million texts of one letter", (server, model) => PostAsync(server, model, Many("\"a\"", 7_000_000)), MostTimesBody * BodyMiB) { MostSeconds = 2 },
        new("ids", "10 million token ids", (server, model) => PostAsync(server, model, Bytes($$"""{"inputs": [[{{new StringBuilder("7").Insert(1, ",10", 10_000_000)}}]]}""")), MostTimesBody * BodyMiB),
        new("wrong", "10 million entries of the wrong kind", (server, model) => PostAsync(server, model, Many("{}", 10_000_000)), MostTimesBody * BodyMiB),
        new("nested", $"{BodyMiB} MB of opening brackets", (server, model) => PostAsync(server, model, Bytes("""{"inputs": """ + new string('[', BodyMiB << 20))), MostTimesBody * BodyMiB),
        new("bomb", "a gzip body of 30 kB that becomes 30 MB, and one that becomes 1 GB", BombAsync, MostTimesBody * BodyMiB),
        new("leavers", $"4 clients that send {BodyMiB} MB of one letter and leave", LeaversAsync, 4 * MostTimesBody * BodyMiB),
        new("half", $"60 bodies of {BodyMiB} MB of which half is sent, held for 20 s", HalfAsync),
        new("dripped", "200 bodies sent at a byte a second", DrippedAsync) { Settings = new Dictionary<string, string> { ["Limits:RequestTimeoutSeconds"] = "10" } },
        new("unread", "40 clients that ask for vectors of all tokens and never read the answer, held for 60 s", UnreadAsync) { Settings = new Dictionary<string, string> { ["Limits:AnswerTimeoutSeconds"] = "20" } },
        new("attention", "8 requests for the attention of 500 tokens at once", AttentionAsync) { Settings = new Dictionary<string, string> { ["Models:all-MiniLM-L6-v2:MaxTokens"] = "512" } },
        new("logits", "8 requests for the perplexity of 1,000 words at once, of SmolLM2-135M-Instruct", (server, _) => LogitsAsync(server)) { Besides = SmolLM2 },
        new("conversation", $"one message of {BodyMiB} MB to SmolLM2-135M-Instruct", (server, _) => PostAsync(server, Generations, Bytes($$"""{"messages": [{"role": "user", "content": "{{Words(BodyMiB << 20)}}"}]}""")), MostTimesBody * BodyMiB) { Besides = SmolLM2, MostSeconds = 2 },
        new("prompts", "16 prompts of 1,500 words at once, of SmolLM2-135M-Instruct, 64 tokens each, of clients that leave after 20 s", (server, _) => PromptsAsync(server)) { Besides = SmolLM2 },
        new("streams", "40 clients that ask SmolLM2-135M-Instruct for 8 choices of 200 tokens as a stream and never read it, held for 40 s", (server, _) => StreamsAsync(server)) { Besides = SmolLM2, Settings = new Dictionary<string, string> { ["Limits:AnswerTimeoutSeconds"] = "20" } },
        new("disconnects", "400 clients that are reset in mid-request", DisconnectsAsync),
        new("endless", "a second server with a folder whose graph does not end, in its runs or while it opens, stopped when its other model is ready", EndlessAsync),
        new("silent", "2,000 connections that say nothing, for 20 s", SilentAsync),
    ];

    private static string Words(int characters) => new StringBuilder().Insert(0, "the server answers ", characters / 19).ToString();

    private static void AddLongToken(ModelsFolder folder)
    {
        folder.AddCopy(LongToken);
        var path = Path.Combine(folder.Path, LongToken, "tokenizer.json");
        var json = JsonNode.Parse(File.ReadAllText(path))!;
        json["added_tokens"]!.AsArray().Add(new JsonObject
        {
            ["id"] = json["model"]!["vocab"]!.AsObject().Count,
            ["content"] = new string('a', 1_000_000) + "b",
            ["single_word"] = false,
            ["lstrip"] = false,
            ["rstrip"] = false,
            ["normalized"] = false,
            ["special"] = false,
        });
        File.WriteAllText(path, json.ToJsonString());
    }

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Text(string text) => Bytes($$"""{"inputs": ["{{text}}"]}""");

    private static byte[] Many(string entry, int count) => Bytes($$"""{"inputs": [{{new StringBuilder(entry).Insert(entry.Length, "," + entry, count - 1)}}]}""");

    private static Task<string> PostAsync(MeasuredServer server, string pathOrModel, byte[] body) => PostAsync(server, pathOrModel, body, null);

    private static async Task<string> PostAsync(MeasuredServer server, string pathOrModel, byte[] body, string? encoding)
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        if (encoding is not null)
        {
            content.Headers.ContentEncoding.Add(encoding);
        }

        try
        {
            using var client = new HttpClient { BaseAddress = server.Http.BaseAddress, Timeout = TimeSpan.FromMinutes(5) };
            using var answer = await client.PostAsync(pathOrModel.StartsWith('/') ? pathOrModel : ServerSettings.EmbeddingsPath(pathOrModel), content);
            return ((int)answer.StatusCode).ToString(CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return "broken";
        }
    }

    private static async Task<string> BombAsync(MeasuredServer server, string model)
    {
        var answers = new List<string>();
        foreach (var size in new[] { BodyMiB << 20, 1 << 30 })
        {
            using var packed = new MemoryStream();
            await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
            {
                var block = new byte[1 << 20];
                block.AsSpan().Fill((byte)' ');
                for (var i = 0; i < size >> 20; i++)
                {
                    await gzip.WriteAsync(block);
                }
            }

            answers.Add(await PostAsync(server, model, packed.ToArray(), "gzip"));
        }

        return Count(answers);
    }

    private static async Task<string> LeaversAsync(MeasuredServer server, string model)
    {
        var body = Text(new string('a', BodyMiB << 20));
        var clients = new List<Socket>();
        for (var i = 0; i < 4; i++)
        {
            var socket = await ConnectAsync(server);
            await socket.SendAsync(Head(model, body.Length));
            await SendAllAsync(socket, body);
            clients.Add(socket);
        }

        await Task.Delay(200);
        Vanish(clients);
        await Task.Delay(TimeSpan.FromSeconds(5)); // what it goes on with
        return "4 left";
    }

    private static async Task<string> HalfAsync(MeasuredServer server, string model)
    {
        var half = new byte[(BodyMiB << 20) / 2];
        half.AsSpan().Fill((byte)' ');
        var clients = new List<Socket>();
        var answers = new List<string>();
        await Parallel.ForEachAsync(Enumerable.Range(0, 60), new ParallelOptions { MaxDegreeOfParallelism = 60 }, async (_, _) =>
        {
            var socket = await ConnectAsync(server);
            lock (clients)
            {
                clients.Add(socket);
            }

            try
            {
                using var most = new CancellationTokenSource(TimeSpan.FromSeconds(15));
                await socket.SendAsync(Head(model, half.Length * 2), most.Token);
                await SendAllAsync(socket, half, most.Token);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // The server does not take it.
            }
        });
        await Task.Delay(TimeSpan.FromSeconds(20));
        answers.AddRange(clients.Select(Answer));
        Vanish(clients);
        return Count(answers);
    }

    private static async Task<string> DrippedAsync(MeasuredServer server, string model)
    {
        var clients = new List<Socket>();
        for (var i = 0; i < 200; i++)
        {
            var socket = await ConnectAsync(server);
            await socket.SendAsync(Head(model, 1000));
            clients.Add(socket);
        }

        for (var second = 0; second < 20; second++)
        {
            foreach (var socket in clients)
            {
                try
                {
                    await socket.SendAsync(" "u8.ToArray());
                }
                catch (SocketException)
                {
                    // Ended by the server, which is what is looked for.
                }
            }

            await Task.Delay(TimeSpan.FromSeconds(1));
        }

        var answers = clients.ConvertAll(Answer);
        Vanish(clients);
        return Count(answers);
    }

    private static async Task<string> UnreadAsync(MeasuredServer server, string model)
    {
        var words = string.Join(' ', Enumerable.Repeat("the server answers", 60));
        var body = Bytes($$"""{"level": "token", "inputs": [{{string.Join(',', Enumerable.Repeat($"\"{words}\"", 64))}}]}""");
        var clients = new List<Socket>();
        for (var i = 0; i < 40; i++)
        {
            var socket = await ConnectAsync(server, receiveBuffer: 4096);
            await socket.SendAsync(Head(model, body.Length));
            await SendAllAsync(socket, body);
            clients.Add(socket);
        }

        await Task.Delay(TimeSpan.FromSeconds(60));
        Vanish(clients);
        return "40 unread";
    }

    private static async Task<string> AttentionAsync(MeasuredServer server, string model)
    {
        var body = Bytes($$"""{"text": "{{string.Join(' ', Enumerable.Repeat("server", 500))}}", "truncate": true, "format": "npy"}""");
        return Count(await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => PostAsync(server, $"/api/models/{model}/attention", body))));
    }

    private static async Task<string> LogitsAsync(MeasuredServer server)
    {
        var body = Bytes($$"""{"inputs": ["{{string.Join(' ', Enumerable.Repeat("server", 1000))}}"], "task": "perplexity"}""");
        return Count(await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => PostAsync(server, $"/api/models/{SmolLM2}/predictions", body))));
    }

    private static async Task<string> PromptsAsync(MeasuredServer server)
    {
        var clients = new List<Socket>();
        for (var i = 0; i < 16; i++)
        {
            clients.Add(await AskAsync(server, Generations, Bytes($$"""{"prompt": "{{i}} {{string.Join(' ', Enumerable.Repeat("server", 1500))}}", "max_new_tokens": 64, "temperature": 0}""")));
        }

        await Task.Delay(TimeSpan.FromSeconds(20));
        var answers = clients.ConvertAll(Answer);
        Vanish(clients);
        return Count(answers);
    }

    private static async Task<string> StreamsAsync(MeasuredServer server)
    {
        var clients = new List<Socket>();
        for (var i = 0; i < 40; i++)
        {
            clients.Add(await AskAsync(server, Generations, Bytes($$"""{"prompt": "{{i}}", "n": 8, "temperature": 1, "max_new_tokens": 200, "stream": true}""")));
        }

        await Task.Delay(TimeSpan.FromSeconds(40));
        var answers = clients.ConvertAll(Answer);
        Vanish(clients);
        return Count(answers);
    }

    private static async Task<Socket> AskAsync(MeasuredServer server, string path, byte[] body)
    {
        var socket = await ConnectAsync(server, receiveBuffer: 4096);
        await socket.SendAsync(HeadTo(path, body.Length));
        await SendAllAsync(socket, body);
        return socket;
    }

    private static async Task<string> DisconnectsAsync(MeasuredServer server, string model)
    {
        var body = Bytes(Texts.Body(Texts.OfWords(32, 12, 12)));
        for (var wave = 0; wave < 4; wave++)
        {
            var clients = new List<Socket>();
            for (var i = 0; i < 100; i++)
            {
                var socket = await ConnectAsync(server);
                await socket.SendAsync(Head(model, body.Length));
                await SendAllAsync(socket, body.AsMemory(0, i % 2 == 0 ? body.Length : body.Length / 2));
                clients.Add(socket);
            }

            await Task.Delay(300);
            Vanish(clients);
        }

        await Task.Delay(TimeSpan.FromSeconds(2));
        return string.Create(CultureInfo.InvariantCulture, $"{server.LogLines(" 499 ")} lines of 499, {server.LogLines("   at ")} of stacks");
    }

    private static async Task<string> SilentAsync(MeasuredServer server, string model)
    {
        var clients = new List<Socket>();
        for (var i = 0; i < 2000; i++)
        {
            clients.Add(await ConnectAsync(server));
        }

        await Task.Delay(TimeSpan.FromSeconds(20));
        var ended = clients.Count(socket => socket.Poll(0, SelectMode.SelectRead));
        Vanish(clients);
        return string.Create(CultureInfo.InvariantCulture, $"{ended} of {clients.Count} cut");
    }

    private static async Task<string> EndlessAsync(MeasuredServer server, string model)
    {
        var answers = new List<string>();
        foreach (var (name, graph) in new[] { ("runs", EndlessGraph.InRuns()), ("opening", EndlessGraph.AtOpening()) })
        {
            using var folder = ModelsFolder.Copies(1);
            folder.Add("endless", graph);
            using var other = await MeasuredServer.StartForAsync(folder.Model, folder.Path, []);
            await Task.Delay(TimeSpan.FromSeconds(2)); // it is in the middle of it
            var (seconds, code) = await other.StopAsync();
            answers.Add(string.Create(CultureInfo.InvariantCulture, $"{name}: the other ready after {other.ReadySeconds:0.0} s, ended {seconds:0.0} s after SIGTERM with {code?.ToString(CultureInfo.InvariantCulture) ?? "no code"}"));
        }

        return string.Join("; ", answers);
    }

    private static byte[] Head(string model, int length) => HeadTo(ServerSettings.EmbeddingsPath(model), length);

    private static byte[] HeadTo(string path, int length) =>
        Bytes(string.Create(CultureInfo.InvariantCulture, $"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"));

    private static async Task<Socket> ConnectAsync(MeasuredServer server, int? receiveBuffer = null)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        if (receiveBuffer is { } bytes)
        {
            socket.ReceiveBufferSize = bytes;
        }

        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, server.Port));
        return socket;
    }

    private static async Task SendAllAsync(Socket socket, ReadOnlyMemory<byte> bytes, CancellationToken cancellation = default)
    {
        while (bytes.Length > 0)
        {
            bytes = bytes[await socket.SendAsync(bytes[..Math.Min(bytes.Length, 1 << 20)], cancellation)..];
        }
    }

    // The status of an answer that has come; "open" where none has.
    private static string Answer(Socket socket)
    {
        var buffer = new byte[64];
        try
        {
            return !socket.Poll(0, SelectMode.SelectRead) ? "open"
                : socket.Receive(buffer) is > 12 ? Encoding.ASCII.GetString(buffer, 9, 3)
                : "cut";
        }
        catch (SocketException)
        {
            return "cut";
        }
    }

    private static void Vanish(List<Socket> clients)
    {
        foreach (var socket in clients)
        {
            socket.LingerState = new LingerOption(true, 0); // a reset
            socket.Dispose();
        }
    }

    private static string Count(IEnumerable<string> answers) => string.Join(", ", answers.CountBy(a => a).OrderBy(a => a.Key, StringComparer.Ordinal).Select(a => $"{a.Key}: {a.Value}"));
}
