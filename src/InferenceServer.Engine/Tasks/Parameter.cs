using InferenceServer.Engine.Diagnostics;

namespace InferenceServer.Engine.Tasks;

/// <summary>Checks of arguments that several tasks share.</summary>
internal static class Parameter
{
    /// <summary>Most candidates, labels or tokens that one answer lists: beyond it a body is too large to be of use.</summary>
    private const long MostListed = 1_000_000;

    /// <summary>The argument is at least <paramref name="least"/>.</summary>
    /// <exception cref="InferenceException">It is not.</exception>
    public static void AtLeast(Argument argument, int value, int least)
    {
        if (value < least)
        {
            throw InferenceException.Unprocessable(argument, $"{argument} is {value}; it must be at least {least}. Send {least} or more, or leave it out.");
        }
    }

    /// <summary>The answer lists at most a million things.</summary>
    /// <exception cref="InferenceException">It would list more.</exception>
    public static void Listed(Argument argument, int value, long places, long things)
    {
        if (Math.Min(value, things) * places > MostListed)
        {
            throw InferenceException.Unprocessable(
                argument,
                $"{argument} is {value} for {places} place{(places == 1 ? "" : "s")}: an answer lists at most {MostListed} candidates in all. Send for {argument} at most {Math.Max(1, MostListed / places)}, or fewer inputs.");
        }
    }
}
