using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using ArchUnitNET.Loader;
using InferenceServer.Engine.Tasks;
using Xunit;

namespace InferenceServer.Engine.Tests;

/// <summary>The arrows between the modules: which namespace may use which; and what the engine must not know.</summary>
public sealed partial class ArchitectureTests
{
    private const string Host = "InferenceServer.";
    private const string Engine = "InferenceServer.Engine.";

    /// <summary>Modules and what each may use. A module of the engine is named after its folder, one of the host after its path.</summary>
    private static readonly Dictionary<string, string[]> Modules = new()
    {
        ["Engine.Diagnostics"] = [],
        ["Engine.Manifest"] = ["Engine.Diagnostics"],
        ["Engine.Tokenization"] = ["Engine.Manifest", "Engine.Diagnostics"],
        ["Engine.Onnx"] = ["Engine.Manifest", "Engine.Diagnostics"],
        ["Engine.Execution"] = ["Engine.Manifest", "Engine.Diagnostics"],
        ["Engine.Scheduling"] = ["Engine.Execution", "Engine.Diagnostics"],
        ["Engine.Generation"] = ["Engine.Tokenization", "Engine.Scheduling", "Engine.Execution", "Engine.Manifest", "Engine.Diagnostics"],
        ["Engine.Tasks"] = ["Engine.Tokenization", "Engine.Generation", "Engine.Scheduling", "Engine.Manifest", "Engine.Diagnostics"],
        ["Engine.Serving"] = ["Engine.Manifest", "Engine.Onnx", "Engine.Tokenization", "Engine.Execution", "Engine.Scheduling", "Engine.Generation", "Engine.Tasks", "Engine.Diagnostics"],
        ["Configuration"] = ["Engine.Diagnostics", "Engine.Execution", "Engine.Scheduling", "Engine.Generation", "Engine.Serving"],
        ["Http.Middleware"] = ["Configuration", "Engine.Diagnostics", "Engine.Serving"],
        ["Http.Native"] = ["Http.Middleware", "Configuration", "Engine.Tasks", "Engine.Generation", "Engine.Serving", "Engine.Manifest", "Engine.Diagnostics"],
        ["Http.OpenApi"] = ["Http.Native", "Http.Middleware", "Configuration", "Engine.Tasks"],
        ["Hosting"] = ["Http.Native", "Http.Middleware", "Http.OpenApi", "Configuration", "Engine.Serving", "Engine.Execution", "Engine.Generation", "Engine.Tasks", "Engine.Manifest", "Engine.Diagnostics"],
    };

    /// <summary>Single types that may be used beyond the modules: what a row reader sees of a run, what goes with a request, the side that is cut off, what is set for a model.</summary>
    private static readonly HashSet<string> Shown =
    [
        "Engine.Execution -> Onnx.ProbeGraph", "Engine.Tasks -> Execution.RowOutputs", "Engine.Tasks -> Execution.OutputRow", "Engine.Tasks -> Execution.GraphInput",
        "Http.Middleware -> Scheduling.RequestContext", "Http.Native -> Scheduling.RequestContext", "Http.Native -> Scheduling.Priority", "Http.OpenApi -> Scheduling.Priority",
        "Http.Native -> Tokenization.Side", "Configuration -> Tasks.ModelSettings", "Configuration -> Tokenization.TokenizerConfigUse", "Configuration -> Manifest.ModelFolders",
    ];

    private static readonly (string Module, string Type, string Target)[] Dependencies = Load();

    [Fact]
    public void Modules_use_only_what_the_table_says()
    {
        var wrong = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var (module, type, target) in Dependencies.Where(d => d.Module.Length > 0 && d.Target.StartsWith(Host, StringComparison.Ordinal)))
        {
            var other = ModuleOf(target);
            if (other.Length > 0 && other != module && !Modules[module].Contains(other) && !Shown.Contains($"{module} -> {other["Engine.".Length..]}.{target[(target.LastIndexOf('.') + 1)..]}"))
            {
                wrong.Add($"{module}: {type} uses {target}");
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void Every_module_is_in_the_table_and_the_arrows_have_no_circle()
    {
        var modules = Dependencies.Select(d => d.Module).Where(m => m.Length > 0).ToHashSet();
        Assert.Superset(new HashSet<string> { "Engine.Serving", "Http.Native", "Hosting" }, modules);
        Assert.Empty(modules.Except(Modules.Keys));
        for (var left = Modules.Keys.ToList(); left.Count > 0;)
        {
            var free = left.Where(m => !Modules[m].Any(left.Contains)).ToList();
            Assert.True(free.Count > 0, "In a circle: " + string.Join(", ", left));
            left = [.. left.Except(free)];
        }
    }

    [Fact]
    public void Only_execution_names_ONNX_Runtime()
    {
        var users = Dependencies.Where(d => d.Target.StartsWith("Microsoft.ML.OnnxRuntime", StringComparison.Ordinal)).Select(d => d.Module).ToHashSet();

        Assert.Equal(["Engine.Execution"], users);
    }

    [Fact]
    public void The_engine_knows_no_HTTP()
    {
        var references = typeof(Model).Assembly.GetReferencedAssemblies().Select(r => r.Name!);

        Assert.DoesNotContain(references, name => name.StartsWith("Microsoft.AspNetCore", StringComparison.Ordinal) || name.StartsWith("Serilog", StringComparison.Ordinal));
    }

    /// <summary>What a client reads is put together by the host: the engine's code has neither the path of a setting nor a request's name of the wire.</summary>
    [Fact]
    public void The_engine_writes_no_settings_and_no_names_of_the_wire()
    {
        var names = typeof(Model).Assembly.GetTypes()
            .Where(t => t.Namespace?.StartsWith(Engine + "Tasks", StringComparison.Ordinal) == true && t.Name.EndsWith("Request", StringComparison.Ordinal))
            .SelectMany(t => t.GetProperties(BindingFlags.Public | BindingFlags.Instance))
            .Select(p => JsonNamingPolicy.SnakeCaseLower.ConvertName(p.Name))
            .Where(n => n.Contains('_', StringComparison.Ordinal))
            .ToHashSet();
        Assert.Superset(new HashSet<string> { "prompt_name", "top_k", "input_ids" }, names);

        var root = Path.Combine(Repository.Root, "src", "InferenceServer.Engine");
        var wrong = new List<string>();
        var lines = 0;
        foreach (var file in Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories))
        {
            var path = Path.GetRelativePath(root, file).Replace('\\', '/');
            var module = path.Split('/')[0];
            if (module is "bin" or "obj")
            {
                continue;
            }

            foreach (var (line, number) in File.ReadLines(file).Select((line, i) => (Comment().Replace(line, ""), i + 1)))
            {
                lines++;
                // What the one who starts the server reads names settings: the execution provider that cannot be used.
                if (path != "Execution/ExecutionDevice.cs" && Setting().IsMatch(line))
                {
                    wrong.Add($"{path}:{number} names a setting: {line.Trim()}");
                }

                // What the readers of files and graphs look for has such names too; messages to clients come from these modules.
                if (module is "Tasks" or "Scheduling" or "Generation" or "Serving" or "Diagnostics" && Word().Matches(line).FirstOrDefault(w => names.Contains(w.Value)) is { } word)
                {
                    wrong.Add($"{path}:{number} names {word.Value}: {line.Trim()}");
                }
            }
        }

        Assert.True(lines > 5000, $"only {lines} lines were read");
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    private static (string Module, string Type, string Target)[] Load()
    {
        var architecture = new ArchLoader().LoadAssemblies(typeof(Model).Assembly, typeof(Program).Assembly).Build();
        return
        [
            .. architecture.Types
                .Where(type => type.FullName.StartsWith(Host, StringComparison.Ordinal))
                .SelectMany(type => type.Dependencies.Select(dependency => (ModuleOf(type.FullName), type.FullName, dependency.Target.FullName)))
                .Distinct(),
        ];
    }

    /// <summary>The module of a type: <c>Engine.Tasks</c>, <c>Http.Native</c>, <c>Hosting</c>; empty for what stands above all modules.</summary>
    private static string ModuleOf(string type)
    {
        var parts = type[Host.Length..].Split('.');
        return parts.Length < 2 ? ""
            : parts[0] == "Engine" ? (parts.Length < 3 ? "" : $"Engine.{parts[1]}")
            : parts[0] == "Http" ? (parts.Length < 3 ? "Http" : $"Http.{parts[1]}")
            : parts[0];
    }

    [GeneratedRegex(@"(^|\s)//.*$")]
    private static partial Regex Comment();

    [GeneratedRegex(@"\b(Queue|Limits|Execution|Shutdown|Logging):[A-Z]")]
    private static partial Regex Setting();

    [GeneratedRegex(@"\w+")]
    private static partial Regex Word();
}
