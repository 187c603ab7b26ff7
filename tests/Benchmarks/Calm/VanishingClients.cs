using System.Net;
using System.Text;
using InferenceServer.Benchmarks.Client;
using InferenceServer.Benchmarks.Server;

namespace InferenceServer.Benchmarks.Calm;

/// <summary>200 clients that break off in mid-request, half of them before their body is whole: their work is dropped and nothing of it stays.</summary>
internal static class VanishingClients
{
    private const int Clients = 200;
    private const int TextsPerRequest = 32;
    private const int FirstWaves = 2;
    private const int Waves = 4;
    private const int MoreHandles = 20; // a tenth of one wave
    private const double MostMilliseconds = 500;
    private const double MemoryGrowth = 1.1;

    /// <summary>Runs it.</summary>
    public static async Task<CalmTable> RunAsync(CalmOptions options)
    {
        using var folder = ModelsFolder.WithMiniLM();
        using var bodies = CalmBenchmark.TwelveWords(TextsPerRequest);
        using var single = CalmBenchmark.TwelveWords(1);
        using var server = await MeasuredServer.StartAsync(folder.Path);
        Task<double> ProbeAsync() => server.PostAsync(ServerSettings.EmbeddingsPath(folder.Model), single.Bodies[0]);

        for (var i = 0; i < 20; i++)
        {
            await ProbeAsync();
        }

        var before = Statistics.Median(await ProbesAsync());
        var handles = server.Handles;
        for (var wave = 0; wave < FirstWaves; wave++)
        {
            // These fill pools and buffers; the memory that the others leave behind is compared with theirs.
            await WaveAsync();
            await Task.Delay(TimeSpan.FromSeconds(3));
        }

        var memory = server.ResidentMiB;
        var first = new List<double>();
        for (var wave = 0; wave < Waves; wave++)
        {
            await WaveAsync();
            first.Add(await ProbeAsync());
            await Task.Delay(TimeSpan.FromSeconds(3));
        }

        var after = Statistics.Median(await ProbesAsync());
        var (memoryAfter, handlesAfter) = (server.ResidentMiB, server.Handles);
        return new CalmTable("Clients that vanish", $"{Waves} waves of {Clients} connections; each sends a request of {TextsPerRequest} texts of 12 words, every other one only half of its bytes, and is reset 0.3 s later; then at once one text from somebody else. Memory is compared with that after {FirstWaves} waves before these, open files with those before any.")
            .Add("longest answer right after a wave, ms", $"{first.Max():0}", $"<= {MostMilliseconds}", first.Max() <= MostMilliseconds)
            .Add("p50 of single requests before / after, ms", $"{before:0.0} / {after:0.0}")
            .Add("RSS MiB before / after", $"{memory:0} / {memoryAfter:0}", $"after <= {MemoryGrowth} x before", memoryAfter <= MemoryGrowth * memory)
            .Add("open files before / after", $"{handles} / {handlesAfter}", $"after <= before + {MoreHandles}", handlesAfter <= handles + MoreHandles);

        async Task<List<double>> ProbesAsync()
        {
            var milliseconds = new List<double>();
            for (var i = 0; i < 20; i++)
            {
                milliseconds.Add(await ProbeAsync());
            }

            return milliseconds;
        }

        async Task WaveAsync()
        {
            var load = server.Load(folder.Model, bodies);
            var requests = bodies.Bodies.Select(b => LoadGenerator.Request(load, Encoding.UTF8.GetBytes(b))).ToArray();
            var connections = new List<Connection>();
            for (var i = 0; i < Clients; i++)
            {
                var connection = new Connection(new IPEndPoint(IPAddress.Loopback, server.Port));
                connections.Add(connection);
                await connection.OpenAsync();
                var request = requests[i % requests.Length];
                await connection.WriteAsync(request.AsMemory(0, i % 2 == 0 ? request.Length : request.Length / 2));
            }

            await Task.Delay(TimeSpan.FromSeconds(0.3));
            connections.ForEach(c => c.Vanish());
        }
    }
}
