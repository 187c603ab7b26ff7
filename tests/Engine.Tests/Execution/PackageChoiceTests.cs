using System.Diagnostics;
using System.Text.Json;
using System.Xml.Linq;
using Xunit;

namespace InferenceServer.Engine.Tests.Execution;

/// <summary>Asks MSBuild which ONNX Runtime package each value of the property chooses.</summary>
public sealed class PackageChoiceTests
{
    private static readonly string[] Packages = ["Microsoft.ML.OnnxRuntime", "Microsoft.ML.OnnxRuntime.Gpu"];

    [Theory]
    [InlineData(null, "Microsoft.ML.OnnxRuntime")]
    [InlineData("Cpu", "Microsoft.ML.OnnxRuntime")]
    [InlineData("Gpu", "Microsoft.ML.OnnxRuntime.Gpu")]
    public async Task The_property_chooses_one_package(string? value, string package)
    {
        var project = Path.Combine(Repository.Root, "src", "InferenceServer.Engine", "InferenceServer.Engine.csproj");
        var start = new ProcessStartInfo(Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet")
        {
            RedirectStandardOutput = true,
            ArgumentList = { "msbuild", project, "-getItem:PackageReference", "-nodeReuse:false" },
        };
        if (value is not null)
        {
            start.ArgumentList.Add($"-p:OnnxRuntime={value}");
        }

        using var process = Process.Start(start)!;
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
        using var json = JsonDocument.Parse(output);
        var chosen = json.RootElement.GetProperty("Items").GetProperty("PackageReference").EnumerateArray()
            .Select(i => i.GetProperty("Identity").GetString()).Where(i => i!.StartsWith("Microsoft.ML.OnnxRuntime", StringComparison.Ordinal));
        Assert.Equal([package], chosen);
    }

    [Fact]
    public void Both_packages_have_one_version()
    {
        var versions = XDocument.Load(Path.Combine(Repository.Root, "Directory.Packages.props")).Descendants("PackageVersion")
            .Where(p => Packages.Contains((string?)p.Attribute("Include"))).Select(p => (string?)p.Attribute("Version")).ToList();
        Assert.Equal(2, versions.Count);
        Assert.Single(versions.Distinct());
    }
}
