using System.Text;
using ArchUnitNET.Loader;
using InferenceServer.Engine.Tasks;
using Xunit;

namespace InferenceServer.Engine.Tests;

/// <summary>The arrows between the rooms: which namespace may use which.</summary>
public sealed class ArchitectureTests
{
    private const string Engine = "InferenceServer.Engine.";
    private const string Host = "InferenceServer.";

    /// <summary>Rooms of the engine and the rooms that each may use.</summary>
    private static readonly Dictionary<string, string[]> Rooms = new()
    {
        ["Diagnostics"] = [],
        ["Manifest"] = ["Diagnostics"],
        ["Tokenization"] = ["Manifest", "Diagnostics"],
        ["Onnx"] = ["Manifest", "Diagnostics"],
        ["Execution"] = ["Manifest", "Diagnostics"],
        ["Scheduling"] = ["Execution", "Diagnostics"],
        ["Tasks"] = ["Tokenization", "Scheduling", "Manifest", "Diagnostics"],
        ["Serving"] = ["Manifest", "Onnx", "Tokenization", "Execution", "Scheduling", "Tasks", "Diagnostics"],
    };

    /// <summary>Single types that may be used beyond the rooms: what a row reader sees of a run.</summary>
    private static readonly HashSet<string> Shown = ["Tasks -> Execution.RowOutputs", "Tasks -> Execution.OutputRow", "Tasks -> Execution.GraphInput"];

    private static readonly (string Room, string Type, string Target)[] Dependencies = Load();

    [Fact]
    public void Rooms_use_only_the_rooms_below_them()
    {
        var wrong = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var (room, type, target) in Dependencies.Where(d => d.Target.StartsWith(Engine, StringComparison.Ordinal) && Rooms.ContainsKey(d.Room)))
        {
            var rest = target[Engine.Length..];
            var other = Room(rest);
            if (other != room && Rooms.ContainsKey(other) && !Rooms[room].Contains(other) && !Shown.Contains($"{room} -> {rest}"))
            {
                wrong.Add($"{type} uses {target}");
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void Only_Execution_names_ONNX_Runtime()
    {
        var users = Dependencies.Where(d => d.Target.StartsWith("Microsoft.ML.OnnxRuntime", StringComparison.Ordinal)).Select(d => d.Room).ToHashSet();

        Assert.Equal(["Execution"], users);
    }

    [Fact]
    public void The_engine_knows_no_HTTP()
    {
        var references = typeof(Model).Assembly.GetReferencedAssemblies().Select(r => r.Name!);

        Assert.DoesNotContain(references, name => name.StartsWith("Microsoft.AspNetCore", StringComparison.Ordinal) || name.StartsWith("Serilog", StringComparison.Ordinal));
    }

    [Fact]
    public void Endpoints_reach_tasks_and_the_catalogue_and_nothing_that_runs()
    {
        string[] never = ["Execution.", "Tokenization.Tokenizer", "Onnx.", "Scheduling.IGraphExecutor", "Scheduling.GraphExecutor", "Scheduling.Scheduler"];
        var wrong = new StringBuilder();
        foreach (var (_, type, target) in Dependencies.Where(d => d.Room == "Endpoints" && d.Target.StartsWith(Engine, StringComparison.Ordinal)).Distinct())
        {
            if (never.Any(n => target[Engine.Length..].StartsWith(n, StringComparison.Ordinal)))
            {
                wrong.AppendLine($"{type} uses {target}");
            }
        }

        Assert.True(wrong.Length == 0, wrong.ToString());
    }

    [Fact]
    public void Every_room_is_in_the_table()
    {
        var rooms = Dependencies.Where(d => d.Type.StartsWith(Engine, StringComparison.Ordinal)).Select(d => d.Room).Where(r => r.Length > 0).ToHashSet();

        Assert.Contains("Serving", rooms);
        Assert.Empty(rooms.Except(Rooms.Keys));
    }

    private static (string Room, string Type, string Target)[] Load()
    {
        var architecture = new ArchLoader().LoadAssemblies(typeof(Model).Assembly, typeof(Program).Assembly).Build();
        return
        [
            .. architecture.Types
                .Where(type => type.FullName.StartsWith(Host, StringComparison.Ordinal))
                .SelectMany(type => type.Dependencies.Select(dependency => (
                    Room(type.FullName.StartsWith(Engine, StringComparison.Ordinal) ? type.FullName[Engine.Length..] : type.FullName[Host.Length..]),
                    type.FullName,
                    dependency.Target.FullName)))
                .Distinct(),
        ];
    }

    /// <summary>The first part of a name that has several.</summary>
    private static string Room(string name) => name.Contains('.', StringComparison.Ordinal) ? name[..name.IndexOf('.', StringComparison.Ordinal)] : "";
}
