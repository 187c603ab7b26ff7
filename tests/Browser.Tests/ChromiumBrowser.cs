using Microsoft.Playwright;

namespace InferenceServer.Browser.Tests;

/// <summary>Debian's Chromium and a server on the demo models; one of each for all tests.</summary>
public sealed class ChromiumBrowser : IAsyncLifetime
{
    /// <summary>Where the browser is: CHROMIUM, else where Debian puts it.</summary>
    private static readonly string Executable = Environment.GetEnvironmentVariable("CHROMIUM") ?? "/usr/bin/chromium";

    private IPlaywright? playwright;
    private IBrowser? browser;
    private ServerProcess? server;

    /// <summary>The server's address.</summary>
    public string Address => server!.Client.BaseAddress!.ToString().TrimEnd('/');

    /// <summary>Speaks to the server.</summary>
    public HttpClient Client => server!.Client;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        if (!File.Exists(Executable))
        {
            return;
        }

        server = await ServerProcess.StartAsync(Repository.Models);
        playwright = await Playwright.CreateAsync();
        browser = await playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions
        {
            ExecutablePath = Executable,
            Headless = true,
            ChromiumSandbox = false,
            Args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
    }

    /// <summary>An empty page; what its console and its requests complain about goes into <paramref name="complaints"/>.</summary>
    public async Task<IPage> OpenAsync(List<string>? complaints = null, BrowserNewPageOptions? options = null)
    {
        if (browser is null)
        {
            Assert.Skip($"{Executable} is absent (CHROMIUM names another place)");
        }

        var page = await browser!.NewPageAsync(options);
        page.SetDefaultTimeout(20_000);
        if (complaints is not null)
        {
            page.Console += (_, message) =>
            {
                if (message.Type is "error" or "warning")
                {
                    complaints.Add(message.Text);
                }
            };
            page.PageError += (_, error) => complaints.Add(error);
            page.RequestFailed += (_, request) =>
            {
                // A question that is outdated is given up: that is meant.
                if (request.Failure != "net::ERR_ABORTED")
                {
                    complaints.Add($"{request.Url}: {request.Failure}");
                }
            };
            page.Request += (_, request) =>
            {
                if (!request.Url.StartsWith(Address, StringComparison.Ordinal) && !request.Url.StartsWith("data:", StringComparison.Ordinal) && !request.Url.StartsWith("blob:", StringComparison.Ordinal))
                {
                    complaints.Add("asks another host: " + request.Url);
                }
            };
        }

        return page;
    }

    /// <summary>Keeps a picture of the page beside the tests' program, for people to look at.</summary>
    public static Task PictureAsync(IPage page, string name) =>
        page.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(AppContext.BaseDirectory, "screenshots", name + ".png") });

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (browser is not null)
        {
            await browser.DisposeAsync();
        }

        playwright?.Dispose();
        if (server is not null)
        {
            await server.DisposeAsync();
        }
    }
}
