using InferenceServer.Configuration;
using Microsoft.Extensions.Configuration;

namespace InferenceServer.Server.Tests.Configuration;

/// <summary>Settings are checked once, all of them, each with its remedy.</summary>
public sealed class SettingsTests
{
    [Fact]
    public void Defaults_hold_their_own_ranges()
    {
        var ranges = 0;
        foreach (var record in (object[])[new Limits(), new Shutdown(), new Compression()])
        {
            foreach (var property in record.GetType().GetProperties())
            {
                if (property.GetCustomAttributes(typeof(System.ComponentModel.DataAnnotations.RangeAttribute), false) is [System.ComponentModel.DataAnnotations.RangeAttribute range])
                {
                    var value = Convert.ToDouble(property.GetValue(record), System.Globalization.CultureInfo.InvariantCulture);
                    Assert.InRange(value, Convert.ToDouble(range.Minimum, System.Globalization.CultureInfo.InvariantCulture), Convert.ToDouble(range.Maximum, System.Globalization.CultureInfo.InvariantCulture));
                    ranges++;
                }
            }
        }

        Assert.True(ranges >= 10, $"only {ranges} settings have a range");
    }

    [Fact]
    public void Values_are_read_by_any_case_of_their_names()
    {
        var settings = Read(out var errors, ("limits:maxinputs", "7"), ("Execution:Provider", "CPU"), ("Logging:Format", "json"), ("Limits:MaxTokens", ""));
        Assert.Empty(errors);
        Assert.Equal(7, settings.Limits.MaxInputs);
        Assert.Equal(new Limits().MaxTokens, settings.Limits.MaxTokens); // an empty variable is none
        Assert.Equal(InferenceServer.Engine.Execution.ExecutionProvider.Cpu, settings.Loading.Execution.Provider);
        Assert.Equal(LogFormat.Json, settings.Logging.Format);
    }

    [Theory]
    [InlineData("Limits:MaxInputs", "0", "from 1 to 1000000")]
    [InlineData("Limits:MaxInputs", "1e3", "a whole number")]
    [InlineData("Limits:MaxInputs", "99999999999", "a whole number")]
    [InlineData("Limits:RequestTimeoutSeconds", "NaN", "a number")]
    [InlineData("Limits:MaxBodyByte", "1", "Did you mean 'MaxBodyBytes'?")]
    [InlineData("Health:Url", "8081", "http://*:8081")]
    [InlineData("Health:Url", "https://*:8081", "one address with http")]
    [InlineData("Health:Url", "http://*:8081/health", "one address with http")]
    [InlineData("Limits:KeepAliveSeconds", "0", "from 1 to 3600")]
    [InlineData("Execution:Provider", "tpu", "one of auto, cpu, cuda")]
    [InlineData("Execution:Provider", "1", "one of auto, cpu, cuda")]
    [InlineData("Execution:Tf32", "yes", "true or false")]
    [InlineData("Logging:LogLevel:Default", "Loud", "Warning")]
    [InlineData("Models:demo-bert:Fil", "x", "Did you mean 'File'?")]
    public void A_wrong_value_is_named_with_what_was_expected(string key, string value, string says)
    {
        _ = Read(out var errors, (key, value));
        var error = Assert.Single(errors);
        Assert.Contains(key, error, StringComparison.Ordinal);
        Assert.Contains(says, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_error_is_reported_not_the_first()
    {
        _ = Read(out var errors, ("Limits:MaxInputs", "many"), ("Limits:MaxTokens", "-1"), ("Shutdown:Drain", "1"), ("Execution:Workers", "two"));
        Assert.Equal(4, errors.Count);
    }

    [Fact]
    public void A_models_directory_that_is_absent_is_an_error()
    {
        _ = Read(out var errors, ("Models", "/nowhere/at/all"));
        Assert.Contains("/nowhere/at/all", Assert.Single(errors), StringComparison.Ordinal);
    }

    private static Settings Read(out IReadOnlyList<string> errors, params (string Key, string? Value)[] values)
    {
        var all = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase) { ["Models"] = Path.GetTempPath() };
        foreach (var (key, value) in values)
        {
            all[key] = value;
        }

        return Settings.Read(new ConfigurationBuilder().AddInMemoryCollection(all).Build(), out errors);
    }
}
