using System.Globalization;
using InferenceServer.Configuration;
using InferenceServer.Engine.Diagnostics;
using InferenceServer.Http.Middleware;

namespace InferenceServer.Http.Native;

/// <summary>Checks against <see cref="Limits"/> that several endpoints share.</summary>
internal static class Bounds
{
    /// <summary>Bytes that a number of an answer takes in JSON, on average.</summary>
    public const int BytesPerNumber = 12;

    /// <summary>A list of a request must not be longer than the limit.</summary>
    /// <exception cref="RequestException">It is.</exception>
    public static void Count(string field, int count, int max)
    {
        if (count > max)
        {
            throw RequestException.Unprocessable(field, $"'{field}' has {count} entries; the limit of one request is {max} (setting Limits:MaxInputs). Send several requests.");
        }
    }

    /// <summary>An answer must not be larger than the limit.</summary>
    /// <exception cref="RequestException">It is; the message quotes the estimate.</exception>
    public static void Answer(long bytes, Limits limits, string remedy)
    {
        if (bytes > limits.MaxAnswerBytes)
        {
            throw new RequestException(ErrorCode.TooLarge, string.Create(CultureInfo.InvariantCulture, $"The answer would have about {bytes} bytes; the limit is {limits.MaxAnswerBytes} (setting Limits:MaxAnswerBytes). {remedy}"));
        }
    }
}
