namespace InferenceServer.Browser.Tests;

/// <summary>The page with the list of models, <c>/models.html</c>.</summary>
public sealed class StartPageTests(ChromiumBrowser chromium) : IClassFixture<ChromiumBrowser>
{
    [Fact]
    public async Task It_shows_the_models_and_links_that_work_without_a_complaint_of_the_browser()
    {
        var complaints = new List<string>();
        var page = await chromium.OpenAsync(complaints);
        var answer = await page.GotoAsync(chromium.Address + "/models.html");
        Assert.Equal(200, answer!.Status);
        foreach (var model in (string[])["demo-bert", "demo-gpt", "demo-language", "demo-translator"])
        {
            await page.GetByText(model, new() { Exact = true }).First.WaitForAsync();
        }

        Assert.NotEqual("", await page.TitleAsync());
        var links = await page.Locator("a[href]").EvaluateAllAsync<string[]>("links => [...new Set(links.map(a => a.href))]");
        Assert.Contains(links, l => l.Contains("/swagger", StringComparison.Ordinal));
        foreach (var link in links.Where(l => l.StartsWith(chromium.Address, StringComparison.Ordinal)))
        {
            using var target = await chromium.Client.GetAsync(link, TestContext.Current.CancellationToken);
            Assert.True(target.IsSuccessStatusCode, $"{link}: {target.StatusCode}");
        }

        // A narrow window needs no sideways scrolling.
        await page.SetViewportSizeAsync(320, 800);
        Assert.True(await page.EvaluateAsync<bool>("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), "the page is wider than 320 px");
        Assert.Empty(complaints);
        await page.CloseAsync();
    }
}
