using System.Diagnostics;

namespace InferenceServer.Benchmarks;

/// <summary>This program started again with a hidden verb; it answers with JSON lines on its standard output and ends with its standard input.</summary>
internal sealed class ChildProcess : IDisposable
{
    private readonly Process process;
    private readonly Task<string> errors;

    /// <summary>Starts it.</summary>
    public ChildProcess(ProcessStartInfo start)
    {
        process = Process.Start(start)!;
        errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>How to start this program with a verb and its argument.</summary>
    public static ProcessStartInfo OfThisProgram(string verb, string argument) => new("dotnet", [typeof(ChildProcess).Assembly.Location, verb, argument])
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    };

    /// <summary>Sends one line.</summary>
    public async Task WriteLineAsync(string line)
    {
        await process.StandardInput.WriteLineAsync(line);
        await process.StandardInput.FlushAsync();
    }

    /// <summary>The next line; an exception with what the process wrote to its standard error when it has ended instead.</summary>
    public async Task<string> ReadLineAsync() =>
        await process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException($"'{process.StartInfo.ArgumentList[1]}' ended without a result:\n{await errors}");

    /// <summary>Ends it at once.</summary>
    public void Kill() => process.Kill();

    /// <inheritdoc/>
    public void Dispose()
    {
        process.StandardInput.Close();
        if (!process.WaitForExit(TimeSpan.FromSeconds(10)))
        {
            process.Kill();
            process.WaitForExit();
        }

        process.Dispose();
    }
}
