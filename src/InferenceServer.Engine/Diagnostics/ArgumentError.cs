namespace InferenceServer.Engine.Diagnostics;

/// <summary>One of several wrong arguments of a request.</summary>
/// <param name="Argument">Which.</param>
/// <param name="Text">What is wrong with it and what helps.</param>
public sealed record ArgumentError(Argument Argument, ErrorText Text);
