namespace InferenceServer.Engine.Execution;

/// <summary>The execution provider that was asked for cannot be used. The message is one line that names the cause and the remedy; start-up ends with it.</summary>
public sealed class ExecutionProviderException(string message, Exception? inner = null) : Exception(message, inner);
