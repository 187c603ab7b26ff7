namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>A chat template cannot be read, refuses the conversation (<see cref="IsRaised"/>), or fails on it. The message is for people; where the template raised it, it is the template's own sentence.</summary>
public sealed class ChatTemplateException(string message, bool isRaised = false) : Exception(message)
{
    /// <summary>True when the template itself refused, by <c>raise_exception</c>.</summary>
    public bool IsRaised { get; } = isRaised;
}
