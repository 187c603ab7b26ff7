using System.Text.RegularExpressions;
using InferenceServer.Engine.Diagnostics;
using Microsoft.ML.OnnxRuntime;

namespace InferenceServer.Engine.Execution;

/// <summary>ONNX Runtime's messages for people: without source locations and paths.</summary>
internal static partial class NativeMessage
{
    /// <summary>The message on one line, without error codes, source locations and folders.</summary>
    public static string Short(Exception e) => Short(e.Message);

    /// <summary>The same of a message.</summary>
    public static string Short(string message)
    {
        var text = CodePrefix().Replace(message, "");
        text = SourceLocation().Replace(text, "");
        text = Folder().Replace(text, "");
        text = WhiteSpace().Replace(text, " ").Trim().TrimEnd('.');
        return text.Length > 400 ? text[..400] + "..." : text;
    }

    /// <summary>A failed run as the client sees it: the input's fault where ONNX Runtime says so, else a defect.</summary>
    public static InferenceException ToInference(OnnxRuntimeException e) =>
        e.Message.Contains("out of data bounds", StringComparison.Ordinal) || e.Message.Contains("indices element out of", StringComparison.Ordinal)
            ? new InferenceException(ErrorCode.Unprocessable, $"A token id or a position is outside of the model's table. Send ids of the model's vocabulary, and no more tokens than its maximum.", Argument.Of("Inputs"), e)
            : IsOutOfMemory(e) ? OutOfMemory(e)
            : new InferenceException(ErrorCode.Internal, $"The model failed on this input.", null, e);

    /// <summary>Whether memory was short: .NET's or ONNX Runtime's own.</summary>
    public static bool IsOutOfMemory(Exception e) =>
        e is OutOfMemoryException || (e is OnnxRuntimeException && (e.Message.Contains("bad_alloc", StringComparison.Ordinal) || e.Message.Contains("Failed to allocate memory", StringComparison.Ordinal)));

    /// <summary>What a client is told of a run that lacked memory: it may fit when less runs beside it.</summary>
    public static InferenceException OutOfMemory(Exception e) =>
        new(ErrorCode.Unavailable, $"There is not enough memory for this input beside what else runs. Try again in a moment, or send fewer or shorter inputs.", null, e) { RetryAfter = TimeSpan.FromSeconds(1) };

    [GeneratedRegex(@"^\[ErrorCode:[^\]]*\]\s*")]
    private static partial Regex CodePrefix();

    [GeneratedRegex(@"/[^\s:]+\.(cc|cpp|h|cu):\d+\s+[^\n]*?\)\s*(?=[A-Z'""a-z])|/[^\s:]+\.(cc|cpp|h|cu):\d+")]
    private static partial Regex SourceLocation();

    [GeneratedRegex(@"(?<![\w.])/(?:[^\s/:'""]+/)+")]
    private static partial Regex Folder();

    [GeneratedRegex(@"\s+")]
    private static partial Regex WhiteSpace();
}
